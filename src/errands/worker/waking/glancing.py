"""A glance at the table, where the database tells nobody anything (MySQL).

The highest id is one step down one index; a new one means that something was
enqueued. What a long transaction inserted under a lower id, and what became
ready without being new, is found by the poll, which therefore stays short.
"""

import time

from errands.worker.waking.bell import Bells
from errands.worker.waking.wiring import Wiring

BETWEEN_SECONDS = 0.03
LONGEST_BETWEEN_SECONDS = 1.0
SHARE = 4
NEWEST = "SELECT MAX(id) FROM errands_task"


class Glancing(Wiring):
    """New rows, every 30 ms."""

    misses_nothing = False
    between_seconds = BETWEEN_SECONDS
    _newest: int | None = None
    _took = 0.0

    def is_sound(self) -> bool:
        """Return True: a new row is seen."""
        return True

    def wait(self, bells: Bells) -> None:
        """Ring for new rows."""
        before, self._newest = self._newest, self._next_newest()
        if self._newest != before and self._newest is not None:
            bells.ring_all()

    @property
    def _pause(self) -> float:
        """Longer while each glance takes long, as under an old snapshot."""
        pause = max(self.between_seconds, self._took * SHARE)
        return min(pause, LONGEST_BETWEEN_SECONDS)

    def _open(self) -> None:
        self._newest = self._read_newest()

    def _next_newest(self) -> int | None:
        time.sleep(self._pause)
        return self._read_newest()

    def _read_newest(self) -> int | None:
        began = time.monotonic()
        with self._connection.cursor() as cursor:
            cursor.execute(NEWEST)
            row = cursor.fetchone()
        self._took = time.monotonic() - began
        return None if row is None else row[0]
