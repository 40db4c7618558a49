"""Sweeps: registered, idempotent pieces of periodic upkeep.

Workers of our engine run all of them every ``ERRANDS["SWEEP"]`` (10 s); on
other engines a schedule does. Many workers may run the same sweep at once, so
a sweep takes what it changes by conditional updates.
"""

import logging
from collections.abc import Callable

logger = logging.getLogger("errands.sweeps")

type Sweep = Callable[[], object]

ROUNDS_OF_REST = 5

_sweeps: list[Sweep] = []
_rare: set[Sweep] = set()
_resting: dict[Sweep, int] = {}


def sweep[S: Sweep](function: S) -> S:
    """Register a function without arguments as a sweep."""
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
        except Exception:
            logger.exception("sweep %s.%s", function.__module__, function.__name__)
