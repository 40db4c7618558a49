"""When a process has done its share and a fresh one should take over.

Processes that started together do not leave together: each draws the bounds
it keeps to from the last fifth below what was told.
"""

import random
import time
from collections.abc import Callable
from math import inf

from errands.worker.memory import resident_megabytes
from errands.worker.options import WorkerOptions

EARLIEST = 0.8
WEIGH_EVERY_SECONDS = 1.0


class Leaving:
    """Whether one process has reached ``--max-tasks`` or ``--max-rss``.

    Memory is looked at once a second, and only after a task has run: a process
    that is too large when it has just started would be replaced for ever.
    """

    def __init__(
        self,
        options: WorkerOptions,
        *,
        share: Callable[[float, float], float] = random.uniform,  # noqa: S311
        weigh: Callable[[], float | None] = resident_megabytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        drawn = share(EARLIEST, 1.0)
        self._most_tasks: int | None = None
        if options.max_tasks is not None:
            self._most_tasks = max(1, round(options.max_tasks * drawn))
        self._most_megabytes = inf
        if options.max_rss is not None:
            self._most_megabytes = options.max_rss * drawn
        self._weigh = weigh
        self._clock = clock
        self._weighed_at = -inf
        self._weighed_with = 0

    def left(self, attempts: int) -> int | None:
        """Return how many more it may make, None where nobody counts."""
        return None if self._most_tasks is None else self._most_tasks - attempts

    def reason(self, attempts: int) -> str:
        """Return why the process should leave after so many attempts, or nothing."""
        if self._most_tasks is not None and attempts >= self._most_tasks:
            return f"{attempts} attempts"
        if self._most_megabytes == inf or not self._should_weigh(attempts):
            return ""
        self._weighed_at, self._weighed_with = self._clock(), attempts
        megabytes = self._weigh() or 0.0
        return f"{megabytes:.0f} MB" if megabytes >= self._most_megabytes else ""

    def _should_weigh(self, attempts: int) -> bool:
        is_time = self._clock() - self._weighed_at >= WEIGH_EVERY_SECONDS
        return is_time and attempts > self._weighed_with
