"""Sweeps: registered, idempotent pieces of periodic upkeep.

Workers of our engine run all of them every ``ERRANDS["SWEEP"]`` (10 s); on
other engines a schedule does. Many workers may run the same sweep at once, so
a sweep takes what it changes by conditional updates.
"""

import logging
from collections.abc import Callable
from typing import Any

from errands.tasks.signature import is_coroutine, signature_of

logger = logging.getLogger("errands.sweeps")

type Sweep = Callable[[], object]

ROUNDS_OF_REST = 5

_sweeps: list[Sweep] = []
_rare: set[Sweep] = set()
_resting: dict[Sweep, int] = {}


def sweep[S: Sweep](function: S) -> S:
    """Register a plain function that takes no arguments as a sweep.

    ``TypeError`` for what cannot be called like that.
    """
    if not _is_plain(function):
        raise TypeError(
            f"{function!r:.80} is no sweep: that is a plain function, not async, which "
            "can be called without arguments."
        )
    _sweeps.append(function)
    return function


def rare_sweep[S: Sweep](function: S) -> S:
    """Register a sweep that rests for five rounds whenever it returns 0 or None.

    For what is in no hurry: about once a minute, unless there is more to do.
    """
    _rare.add(function)
    return sweep(function)


def run_sweeps() -> None:
    """Run every sweep; one that raises is logged and stops no other."""
    for function in _sweeps:
        if _resting.get(function):
            _resting[function] -= 1
            continue
        try:
            found = function()
            _resting[function] = ROUNDS_OF_REST if function in _rare and not found else 0
        except (Exception, SystemExit):
            logger.exception("sweep %s", _name(function))


def _is_plain(given: Any) -> bool:
    """Return whether it can be called without arguments, and is done then."""
    if not callable(given) or is_coroutine(given):
        return False
    try:
        signature_of(given).bind()
    except TypeError:
        return False
    except ValueError:
        # Some functions of C do not tell.
        return True
    return True


def _name(function: Sweep) -> str:
    """Return where it is; what has no name, such as a partial, as it shows itself."""
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}.{name}" if name else f"{function!r:.80}"
