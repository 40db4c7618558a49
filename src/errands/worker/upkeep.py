"""The thread that does what must be done now and then, in every process.

Everything here may be done by many workers at once: staging, rescuing and the
registered sweeps take what they change by conditional updates.
"""

import logging
import random
import threading
import time
from contextlib import suppress
from queue import Empty

from django.db import Error

from errands.conf import settings
from errands.queue.liveness import rescue_lost
from errands.queue.store import Store
from errands.tasks.sweeps import run_sweeps
from errands.worker.announcing import Announcer
from errands.worker.connections import clean_connections
from errands.worker.outage import Outage
from errands.worker.workplace import Workplace

logger = logging.getLogger("errands.worker")

STAGE_SECONDS = 1.0
STAGE_BATCH = 1000
JITTER = 0.2


class Upkeep(threading.Thread):
    """Stages due tasks each second; rescues and sweeps every ``ERRANDS["SWEEP"]``."""

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(name="errands-upkeep", daemon=True)
        self._store: Store = workplace.store
        self._workplace = workplace
        self._sweep_at = 0.0
        self.announcer = Announcer(workplace)

    def run(self) -> None:
        """Keep up until the process ends."""
        outage = Outage("upkeep")
        while True:
            try:
                self.announce_for(self.try_to_keep_up())
                outage.end()
            except Error as error:
                outage.endure(error)

    def try_to_keep_up(self) -> float:
        """Do what is due; whatever goes wrong with it ends no upkeep.

        An outage is passed on. Returns the seconds until something is due.
        """
        try:
            return self.keep_up()
        except Error:
            raise
        except Exception:
            logger.exception("upkeep goes on after an error")
            return STAGE_SECONDS

    def keep_up(self) -> float:
        """Do what is due; return the seconds until something is due again."""
        staged = self._store.stage(STAGE_BATCH)
        if staged:
            self._workplace.outbox.put(None)
        if time.monotonic() >= self._sweep_at:
            self._sweep()
        if staged == STAGE_BATCH:
            return 0.0
        due = self._store.next_due()
        return STAGE_SECONDS if due is None else min(STAGE_SECONDS, due.total_seconds())

    def announce_for(self, seconds: float) -> None:
        """Announce what no executor had time for, until ``seconds`` are over."""
        until = time.monotonic() + seconds
        with suppress(Empty):
            while (left := until - time.monotonic()) > 0:
                self.announcer.announce(self._workplace.overdue.get(timeout=left))

    def _sweep(self) -> None:
        rescue_lost(self._store)
        run_sweeps()
        clean_connections()
        # Workers that started together should not sweep together for ever.
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        self._sweep_at = time.monotonic() + settings().sweep.total_seconds() * spread
