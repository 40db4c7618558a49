"""The thread that does what must be done now and then, in every process.

What may take long, or hang, is not done here: see ``sweeper``. Everything may be
done by many workers at once: staging, rescuing and the registered sweeps take what
they change by conditional updates.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty

from django.db import Error, connections

from errands.conf import settings
from errands.queue.claiming.suspects import suspects_wait
from errands.queue.committing.waking import wake
from errands.queue.living.rescuing import rescue_lost
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.tasks.sweeps import run_sweeps
from errands.worker.announcing import Announcer
from errands.worker.attempts.oversight import relay_cancels
from errands.worker.connections import clean_connections, renew_after_outage
from errands.worker.outage import Outage
from errands.worker.workplace import UPKEEP_POLL_SECONDS, Workplace

logger = logging.getLogger("errands.worker")

STAGE_BATCH = 1000
# Somebody else is staging what is due.
ELSEWHERE_SECONDS = 0.05
JITTER = 0.2


class Upkeep(threading.Thread):
    """Stages tasks when they are due, and sweeps every ``ERRANDS["SWEEP"]``.

    When the next one is due is asked when somebody rings, and each second
    unasked; each 6 s while a waker is at work.
    """

    def __init__(
        self,
        workplace: Workplace,
        *,
        may_judge: Callable[[], bool] = lambda: True,
        sweep: Callable[[], None] = run_sweeps,
    ) -> None:
        super().__init__(name="errands-upkeep", daemon=True)
        self._may_judge = may_judge
        self._run_sweeps = sweep
        self._store: Store = workplace.store
        self._workplace = workplace
        self._bell = workplace.bells.upkeep
        self._look_at = self._sweep_at = 0.0
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
            return UPKEEP_POLL_SECONDS

    def keep_up(self) -> float:
        """Do what is due; return the seconds until something is due again."""
        renew_after_outage()
        if time.monotonic() >= self._look_at:
            self._look()
        if time.monotonic() >= self._sweep_at:
            self._sweep()
        return min(self._look_at, self._sweep_at) - time.monotonic()

    def announce_for(self, seconds: float) -> None:
        """Announce what no executor had time for, until time is over or a ring."""
        until = time.monotonic() + seconds
        with suppress(Empty):
            while (left := until - time.monotonic()) > 0:
                attempted = self._workplace.overdue.get(timeout=left)
                if attempted is None:
                    self._look_at = 0.0
                    return
                self.announcer.announce(attempted)

    def _look(self) -> None:
        """Stage what is due, and note when to look again."""
        self._bell.look()
        if self._workplace.controls:
            relay_cancels(self._workplace)
        due = self._store.next_due()
        pause = self._bell.poll_seconds if due is None else due.total_seconds()
        if not pause:
            pause = self._stage()
        if self._workplace.controls:
            pause = min(pause, UPKEEP_POLL_SECONDS)
        self._look_at = time.monotonic() + min(pause, self._bell.patience)

    def _stage(self) -> float:
        """Make due tasks ready; return the seconds until there may be more."""
        if not self._store.stage(STAGE_BATCH):
            return ELSEWHERE_SECONDS
        self._workplace.bells.courier.ring()
        wake(connections[self._store.alias])
        return 0.0

    def _look_for_suspects(self) -> None:
        """Tell the supervisor of suspects that one before it has left behind."""
        selection = self._workplace.options.selection
        if suspects_wait(self._store, selection):
            self._workplace.slots.report_suspects()

    def _tend(self) -> None:
        """Look after the tasks of the queue; one question where all is well."""
        states = self._store.states()
        may_rescue = TaskState.RUNNING in states and self._may_judge()
        if may_rescue and rescue_lost(self._store):
            states.add(TaskState.SUSPECT)
        if TaskState.SUSPECT in states:
            self._look_for_suspects()
        if TaskState.BLOCKED in states:
            self._store.unblock()

    def _sweep(self) -> None:
        try:
            self._tend()
        except Error:
            raise
        except Exception:
            logger.exception("the tasks of the queue could not be looked after")
        clean_connections()
        self._run_sweeps()
        # Workers that started together should not sweep together for ever.
        spread = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        self._sweep_at = time.monotonic() + settings().sweep.total_seconds() * spread
