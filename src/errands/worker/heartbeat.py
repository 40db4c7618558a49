"""The thread that says the process lives, and knows under which id.

::

    unregistered ──register──► alive ──answer False──► unregistered, fresh id
                                 │
                                 └── no answer for a lease: alive, but claims nothing

Only this thread writes the worker's row. If we die between a fresh id and its
row, nothing was claimed under it. A process that slept past its lease (SIGSTOP,
a suspended laptop) finds that it was given up; what it still runs is fenced by
its tokens, and it goes on under a fresh id.

Whose beats did not get through for so long that others' leases may have ended as
well takes nobody for lost, until there was time for the others to beat again.
"""

import logging
import threading
import time
from dataclasses import replace
from uuid import uuid4

from django.db import Error

from errands.conf import settings
from errands.queue.living import liveness
from errands.queue.living.liveness import WorkerIdentity
from errands.worker.outage import Outage
from errands.worker.workplace import Workplace

logger = logging.getLogger("errands.worker")

AFTER_ERROR_SECONDS = 1.0


class Heartbeat(threading.Thread):
    """Keeps one worker row alive, over the sidecar."""

    def __init__(self, workplace: Workplace, identity: WorkerIdentity) -> None:
        super().__init__(name="errands-heartbeat", daemon=True)
        self.identity = identity
        self._workplace = workplace
        self._alias = workplace.store.alias
        self._lease = settings().lease
        self._alive_until = self._judges_from = 0.0
        self._beat_at: float | None = None
        self._is_registered = False
        self._is_retired = False
        self._lock = threading.Lock()

    @property
    def may_claim(self) -> bool:
        """Whether the row is sure to be alive."""
        return time.monotonic() < self._alive_until

    @property
    def may_judge(self) -> bool:
        """Whether the silence of others is theirs, and not that of the database."""
        now = time.monotonic()
        return not self._was_unheard(now) and now >= self._judges_from

    def run(self) -> None:
        """Beat until the process ends."""
        outage = Outage("heartbeat")
        while not self._is_retired:
            try:
                self.beat()
                outage.end()
                time.sleep(settings().heartbeat.total_seconds())
            except Error as error:
                outage.endure(error)
            except Exception:
                logger.exception("the heartbeat goes on after an error")
                time.sleep(AFTER_ERROR_SECONDS)

    def beat(self) -> None:
        """Extend the lease; register where there is nothing to extend."""
        with self._lock:
            if self._is_retired:
                return
            asked_at = time.monotonic()
            if self._is_registered and not self._extend():
                self._start_over()
            registers = not self._is_registered
            if registers:
                # Before: if only the answer is lost, the row is there to be extended.
                self._is_registered = True
                liveness.register(self._alias, self.identity, self._lease)
            if self._was_unheard(asked_at):
                self._judges_from = asked_at + self._lease.total_seconds()
            self._beat_at = asked_at
            self._alive_until = asked_at + self._lease.total_seconds()
        if registers:
            self._workplace.outbox.put(None)

    def retire(self) -> None:
        """Remove the row; there is no further beat."""
        with self._lock:
            self._is_retired = True
            self._alive_until = 0.0
            liveness.retire(self._alias, self.identity.id)

    def give_up(self) -> None:
        """Beat no more, and leave the row to its end: nobody works here now.

        Waits for nothing, not for a beat whose database does not answer either.
        """
        self._is_retired = True
        self._alive_until = 0.0

    def _was_unheard(self, now: float) -> bool:
        """Return whether the last beat is so old that others' leases may have ended."""
        if self._beat_at is None:
            return False
        lease, pause = self._lease, settings().heartbeat
        longest = max(lease - pause, (lease + pause) / 2)
        return now - self._beat_at > longest.total_seconds()

    def _extend(self) -> bool:
        return liveness.heartbeat(self._alias, self.identity.id, self._lease)

    def _start_over(self) -> None:
        if self._beat_at is not None:
            logger.warning("worker id=%s was given up; going on afresh", self.identity.id)
        self._alive_until = 0.0
        self._is_registered = False
        self.identity = replace(self.identity, id=uuid4())
        self._workplace.slots.identify(self.identity.id)
