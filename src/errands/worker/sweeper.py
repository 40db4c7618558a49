"""The thread that runs the registered sweeps, the site's own among them.

They wait for storages, other databases and whatever a site has thought of. What is
due, rescued or cancelled meanwhile must not wait for them, so upkeep only asks.
"""

import logging
from threading import Event, Thread

from errands.tasks.sweeps import run_sweeps
from errands.worker.connections import clean_connections, renew_after_outage

logger = logging.getLogger("errands.worker")


class Sweeper(Thread):
    """Sweeps when it is asked to; whoever asks during a round gets one more."""

    def __init__(self) -> None:
        super().__init__(name="errands-sweeper", daemon=True)
        self._asked = Event()

    def ask(self) -> None:
        """Have a round made, and wait for nothing."""
        self._asked.set()

    def run(self) -> None:
        """Sweep until the process ends."""
        while True:
            self._asked.wait()
            self._asked.clear()
            try:
                renew_after_outage()
                run_sweeps()
                clean_connections()
            except Exception:
                logger.exception("the sweeper goes on after an error")
