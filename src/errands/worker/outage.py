"""What the loops of a process do while their database is away.

Each backs off by itself, and no two ask at the same time: attempts to reach a
database are spaced out over the loops of a process, and over the processes of
a worker, so that all of it makes fewer than two a second. The first one that
gets an answer wakes the others.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.db import Error, ProgrammingError, connections

logger = logging.getLogger("errands.worker")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
SPACING, LONGEST_WAIT = 0.6, 20.0
UNMIGRATED = ("does not exist", "doesn't exist")


class Turns:
    """Whose turn it is, among the loops of one process that wait."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._next_at = 0.0
        self._ended = 0
        self._spacing = SPACING
        self.missed = 0
        """How often a loop has found its database away."""

    def share_among(self, processes: int) -> None:
        """Leave room for so many processes that do the same."""
        self._spacing = SPACING * processes

    def wait(self, seconds: float) -> None:
        """Wait so long, or longer if it is others' turn; at most 20 s.

        Returns at once when another loop has reached the database.
        """
        with self._changed:
            turn, ended = self.take(seconds), self._ended
            while self._ended == ended and (left := turn - self._clock()) > 0:
                self._changed.wait(left)

    def take(self, seconds: float) -> float:
        """Return the instant of the next free turn after so many seconds."""
        now = self._clock()
        turn = min(max(now + seconds, self._next_at), now + LONGEST_WAIT)
        self._next_at = turn + self._spacing
        return turn

    def end(self) -> None:
        """Let everybody ask: the database has answered."""
        with self._changed:
            self._ended += 1
            self._next_at = 0.0
            self._changed.notify_all()


turns = Turns()


class Outage:
    """Backs off from 0.5 s to 5 s, and says once that it began and ended.

    Missing tables are an outage like any other: a worker may be started
    before ``migrate``.
    """

    def __init__(self, loop: str, *, sleep: Callable[[float], None] = turns.wait) -> None:
        self._loop = loop
        self._sleep = sleep
        self._pause = 0.0

    def endure(self, error: Error) -> None:
        """Drop this thread's connections and wait, longer each time."""
        if not self._pause:
            logger.warning("%s: %s", self._loop, _describe(error))
        turns.missed += 1
        close_connections()
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        self._sleep(self._pause)

    def end(self) -> None:
        """Note that the database has answered."""
        if self._pause:
            self._pause = 0.0
            logger.warning("%s: the database is back", self._loop)
            turns.end()


def close_connections() -> None:
    """Close this thread's connections; the next statement opens new ones."""
    for connection in connections.all(initialized_only=True):
        with suppress(Error):
            connection.close()


def _describe(error: Error) -> str:
    text = " ".join(str(error).split())
    what = "migrations" if _is_of_a_table(error, text) else "the database"
    return f"waiting for {what}: {text}"


def _is_of_a_table(error: Error, text: str) -> bool:
    """Return whether a table is missing, and not the database or its role."""
    if isinstance(error, ProgrammingError):
        return any(sign in text for sign in UNMIGRATED)
    return "no such table" in text
