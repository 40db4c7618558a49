"""Sweeps: registered, idempotent pieces of periodic upkeep.

Workers of our engine run all of them every ``ERRANDS["SWEEP"]`` (10 s); on
other engines a schedule does. Many workers may run the same sweep at once, so
a sweep takes what it changes by conditional updates.
"""

import logging
from collections.abc import Callable

logger = logging.getLogger("errands.sweeps")

type Sweep = Callable[[], object]

_sweeps: list[Sweep] = []


def sweep[S: Sweep](function: S) -> S:
    """Register a function without arguments as a sweep."""
    _sweeps.append(function)
    return function


def run_sweeps() -> None:
    """Run every sweep; one that raises is logged and stops no other."""
    for function in _sweeps:
        try:
            function()
        except Exception:
            logger.exception("sweep %s.%s", function.__module__, function.__name__)
