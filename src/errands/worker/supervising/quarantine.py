"""Where suspects run: processes of their own, one task at a time.

::

    a rescue made suspects, or a child saw some ──► a process, at once
    2 s later suspects still wait               ──► one more, up to --threads
    no suspect is left for 15 s                 ──► a process ends

So a few quick suspects run one after the other in one process, and a slow one
does not hold up the others. A process that dies is followed by the next one at
once when a task had started in it: that task is charged, so this ends. While
there are no suspects there is nothing here and nobody asks the database.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import inf
from pathlib import Path

from django.db import Error

from errands.queue.claiming.selection import Selection
from errands.queue.claiming.suspects import suspects_wait
from errands.queue.store import Store
from errands.worker.options import WorkerOptions
from errands.worker.outage import close_connections
from errands.worker.supervising.place import Place

logger = logging.getLogger("errands.worker")

LOOK_AGAIN_SECONDS, OUTAGE_SECONDS = 2.0, 10.0


class Quarantine:
    """Opens places for suspects; the supervisor runs and closes them."""

    def __init__(
        self,
        options: WorkerOptions,
        store: Store,
        directory: Path,
        *,
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._selection: Selection = options.for_quarantine(0).selection
        self._store = store
        self._directory = directory
        self._asking = asking
        self._clock = clock
        self._look_at = inf
        self._is_wanted = False
        self.places: list[Place] = []

    def call(self) -> None:
        """Ask for a process: there are suspects, or there may be."""
        self._is_wanted = True

    def next_place(self) -> Place | None:
        """Return an empty place where a process should start, if any should."""
        if not self._should_open():
            return None
        self._look_at = self._clock() + LOOK_AGAIN_SECONDS
        for place in self.places:
            if not place.is_running:
                return place
        number = len(self.places)
        path = self._directory / f"quarantine-{number}"
        try:
            place = Place(path, self._options.for_quarantine(number))
        except OSError:
            logger.warning("quarantine: the system gives us no file", exc_info=True)
            self._look_at = self._clock() + OUTAGE_SECONDS
            return None
        self.places.append(place)
        logger.warning("suspects run alone: opened quarantine %d", number + 1)
        return self.places[-1]

    def _should_open(self) -> bool:
        """Whoever runs already has two seconds before there is one more."""
        running = sum(place.is_running for place in self.places)
        if self._is_wanted:
            self._is_wanted = False
            if not running:
                self._look_at = self._clock()
            elif self._look_at == inf:
                self._look_at = self._clock() + LOOK_AGAIN_SECONDS
        if self._clock() < self._look_at or running >= self._options.executors:
            return False
        self._look_at = inf
        return self._suspects_wait()

    def _suspects_wait(self) -> bool:
        """Ask the database; while it is away, ask again."""
        try:
            with self._asking():
                return suspects_wait(self._store, self._selection)
        except Error:
            logger.warning("quarantine: the database does not say what waits")
            self._look_at = self._clock() + OUTAGE_SECONDS
            return False
        finally:
            close_connections()
