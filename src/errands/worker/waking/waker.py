"""The thread that notices what other processes have enqueued.

::

    PostgreSQL    listening.py   LISTEN, on a connection of its own
    SQLite        watching.py    the file changes
    MariaDB       lingering.py   a statement that waits for a new row
    MySQL         glancing.py    a glance at the table every 30 ms

Each rings the bells of the process and says whether it works: while it does
not, courier and upkeep poll as if there were none. So none of this has to be
right, only quick. What this very process enqueues rings in any case.
"""

import logging
import threading
import time
from collections.abc import Callable

from django.db import Error, connections

from errands.queue.committing.waking import subscribe
from errands.worker.outage import Outage, turns
from errands.worker.waking.lingering import Lingering
from errands.worker.waking.listening import Listening
from errands.worker.waking.watching import Watching
from errands.worker.waking.wiring import Wiring
from errands.worker.workplace import Workplace

logger = logging.getLogger("errands.worker")

TRY_AGAIN_SECONDS = 60.0
WIRINGS: dict[str, Callable[[str], Wiring]] = {
    "postgresql": Listening,
    "sqlite": Watching,
    "mysql": Lingering,
}


class Waker(threading.Thread):
    """Rings the bells of one process for what others have committed."""

    def __init__(
        self, workplace: Workplace, *, sleep: Callable[[float], None] | None = None
    ) -> None:
        super().__init__(name="errands-waker", daemon=True)
        self._alias = workplace.store.alias
        self._bells = workplace.bells
        self._outage = Outage("waker", sleep=sleep or turns.wait)
        self._sleep = sleep or time.sleep
        self._has_said = False
        subscribe(self._alias, self._bells.ring)

    def run(self) -> None:
        """Wake until the process ends."""
        while True:
            try:
                self.wake()
            except Exception:
                logger.exception("the waker goes on after an error")
                self._sleep(TRY_AGAIN_SECONDS)

    def wake(self) -> None:
        """Ring for changes until none would be noticed; then wait a while."""
        try:
            with WIRINGS[connections[self._alias].vendor](self._alias) as wiring:
                self._ring_while_sound(wiring)
        except Error as error:
            self._outage.endure(error)
        else:
            self._sleep(TRY_AGAIN_SECONDS)
        finally:
            self._bells.wire(is_wired=False)

    def _ring_while_sound(self, wiring: Wiring) -> None:
        if not wiring.is_sound():
            self._say_once(wiring.remedy)
            return
        self._outage.end()
        self._bells.wire(is_wired=wiring.misses_nothing)
        # Something may have been committed before we listened.
        self._bells.ring_all()
        while True:
            wiring.wait(self._bells)

    def _say_once(self, remedy: str) -> None:
        if not self._has_said:
            self._has_said = True
            logger.warning(
                "wake-ups of database %r do not arrive here; polling instead. %s",
                self._alias,
                remedy,
            )
