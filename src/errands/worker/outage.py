"""What a loop does while its database is away."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from django.db import Error, connections

logger = logging.getLogger("errands.worker")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
UNMIGRATED = ("no such table", "does not exist", "doesn't exist")


class Outage:
    """Backs off from 0.5 s to 5 s, and says once that it began and ended.

    Missing tables are an outage like any other: a worker may be started
    before ``migrate``.
    """

    def __init__(self, loop: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._loop = loop
        self._sleep = sleep
        self._pause = 0.0

    def endure(self, error: Error) -> None:
        """Drop this thread's connections and wait, longer each time."""
        if not self._pause:
            logger.warning("%s: %s", self._loop, _describe(error))
        close_connections()
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        self._sleep(self._pause)

    def end(self) -> None:
        """Note that the database has answered."""
        if self._pause:
            self._pause = 0.0
            logger.warning("%s: the database is back", self._loop)


def close_connections() -> None:
    """Close this thread's connections; the next statement opens new ones."""
    for connection in connections.all(initialized_only=True):
        with suppress(Error):
            connection.close()


def _describe(error: Error) -> str:
    text = " ".join(str(error).split())
    if any(sign in text for sign in UNMIGRATED):
        return f"waiting for migrations: {text}"
    return f"waiting for the database: {text}"
