"""The only thread of a process that moves tasks between it and the database.

::

    database ──claim──► inbox ──► executor ──► outbox ──settle──► database
                          │ ▲                               │
       released ◄─withdraw┘ └──── acknowledged: announce ◄──┘

One round: gather what executors have put out, settle all of it in one
transaction, claim what can start now. While a round is on the wire the next
outcomes gather, so an idle process settles at once and a busy one in batches
of hundreds, without any timer.

``_in_hand`` holds every claim from the moment it is taken to the moment its
outcome is gathered, and belongs to this thread alone. Where a task is claimed
again while a zombie of its last attempt still runs here, the later claim
replaces the earlier, whose outcome is then dropped.

If we die between claim and inbox, or between outbox and settle, the rows still
say *running* for us: the supervisor or the expired lease takes them back. If
the *answer* to a claim is lost, they say so too and we are alive; therefore
after every outage what the database says we hold is compared with what we do
hold, and the difference is released. If the answer to a settle is lost, the
outcome is settled again: the results hold our token, or the row still does.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from queue import Empty, SimpleQueue

from django.db import Error
from django.utils import timezone

from errands.queue.claims import Claim, Settlement
from errands.tasks.outcomes import Interrupted, Outcome, Retry, Snoozed, Succeeded
from errands.worker.announcing import Announcer
from errands.worker.heartbeat import Heartbeat
from errands.worker.outage import Outage
from errands.worker.pace import Pace
from errands.worker.workplace import Attempted, Workplace

logger = logging.getLogger("errands.worker")

POLL_SECONDS = 0.25
SUSPECT_PAUSE = timedelta(seconds=1)
OVERRUN_SECONDS = 0.1
DRAINING_SECONDS = 0.01
MOST_HELD = 10_000


class Courier:
    """Claims, hands out, gathers and settles, until told to stop or done."""

    def __init__(
        self, workplace: Workplace, heartbeat: Heartbeat, announcers: Sequence[Announcer]
    ) -> None:
        self._workplace = workplace
        self._heartbeat = heartbeat
        self._announcers = announcers
        self._store = workplace.store
        self._stop = workplace.stop
        self._options = workplace.options
        self._selection = workplace.options.selection
        self._pace = Pace(workplace.options.threads)
        self._in_hand: dict[int, Claim] = {}
        self._unsettled: list[Attempted] = []
        self._attempts = 0
        self._to_announce = 0
        self._is_unsure = False
        self._is_drained = False
        self._snoozes_until = 0.0

    def work(self) -> bool:
        """Go round until there is nothing to do; return whether all was settled."""
        outage = Outage("courier")
        while not self._is_done:
            try:
                self._go_round()
                outage.end()
            except Error as error:
                self._is_unsure = True
                outage.endure(error)
        return self._give_up()

    def _go_round(self) -> None:
        self._gather()
        self._settle()
        if self._is_unsure:
            self._release_unknown()
        if self._stop.is_requested:
            self._withdraw()
        else:
            self._claim()

    @property
    def _is_done(self) -> bool:
        if self._stop.is_requested:
            return self._stop.is_overdue or self._is_idle
        return self._is_idle and (self._is_drained or self._left_to_limit == 0)

    @property
    def _is_idle(self) -> bool:
        return not (self._in_hand or self._unsettled or self._announcing)

    @property
    def _announcing(self) -> int:
        told = sum(announcer.count for announcer in self._announcers)
        return self._to_announce - told

    @property
    def _left_to_limit(self) -> int | None:
        limit = self._options.limit
        return None if limit is None else limit - self._attempts - len(self._in_hand)

    def _gather(self) -> None:
        """Wait for the first outcome, and take all that there are.

        Where claims wait and nothing comes back, the tasks before them
        overrun: what has not started is released for other workers.
        """
        outbox, is_waiting = self._workplace.outbox, not self._workplace.inbox.empty()
        try:
            self._take(outbox.get(timeout=self._patience))
        except Empty:
            if is_waiting:
                self._pace.forget()
                self._withdraw()
            return
        for _ in range(outbox.qsize()):
            self._take(outbox.get_nowait())

    @property
    def _patience(self) -> float:
        if self._stop.is_requested or not self._workplace.inbox.empty():
            return OVERRUN_SECONDS
        is_ending = self._options.burst and not self._in_hand and self._announcing
        return DRAINING_SECONDS if is_ending else POLL_SECONDS

    def _take(self, attempted: Attempted | None) -> None:
        if attempted is None:
            return
        settlement = attempted.settlement
        if not self._forget(settlement.claim):
            _log_lost(settlement.claim)
            return
        self._unsettled.append(attempted)
        seconds = (settlement.finished_at - settlement.started_at).total_seconds()
        self._pace.note(seconds)

    def _forget(self, claim: Claim) -> bool:
        """Let go of a claim; False when a later one has replaced it."""
        if self._in_hand.get(claim.id) is not claim:
            return False
        del self._in_hand[claim.id]
        return True

    def _settle(self) -> None:
        if not self._unsettled:
            return
        settled = self._store.settle([each.settlement for each in self._unsettled])
        for attempted in self._unsettled:
            if attempted.settlement.claim.id in settled:
                self._acknowledge(attempted)
            else:
                _log_lost(attempted.settlement.claim)
        self._unsettled = []

    def _acknowledge(self, attempted: Attempted) -> None:
        outcome = attempted.settlement.outcome
        if isinstance(outcome, Interrupted | Snoozed):
            return
        self._attempts += 1
        if isinstance(outcome, Succeeded):
            self._workplace.slots.count(succeeded=1)
        elif not isinstance(outcome, Retry):
            self._workplace.slots.count(failed=1)
        self._to_announce += 1
        self._workplace.inbox.put(attempted)

    def _claim(self) -> None:
        """Take what can start now, and a little ahead while tasks are quick.

        What is claimed ahead is topped up by halves, not one by one.
        """
        ahead = self._pace.ahead
        wanted = self._options.threads + ahead - len(self._in_hand)
        if not ahead:
            wanted -= self._announcing
        if wanted < max(1, ahead // 2) or not self._heartbeat.may_claim:
            return
        if self._left_to_limit is not None:
            wanted = min(wanted, self._left_to_limit)
        worker_id = self._heartbeat.identity.id
        claims = self._store.claim(worker_id, self._selection, wanted) if wanted else []
        self._workplace.slots.say_ready()
        for claim in claims:
            self._hand_out(claim)
        if self._options.burst and not claims and self._is_idle:
            self._look_whether_drained()

    def _hand_out(self, claim: Claim) -> None:
        """Put a claim into the inbox, unless it is a suspect too many.

        Suspects run one at a time in each process, beside tasks that are none:
        so a poison pill takes each neighbour down once at most, and only its
        own crashes add up to the cap.
        """
        held = self._in_hand.values()
        if claim.is_suspect and any(each.is_suspect for each in held):
            self._unsettled.append(self._returned(claim, Snoozed(SUSPECT_PAUSE)))
            self._snoozes_until = time.monotonic() + 2 * SUSPECT_PAUSE.total_seconds()
            return
        self._in_hand[claim.id] = claim
        self._workplace.inbox.put(claim)

    def _look_whether_drained(self) -> None:
        """A burst waits for suspects that wait for each other."""
        if time.monotonic() > self._snoozes_until:
            self._is_drained = self._store.is_drained(self._selection)

    def _returned(self, claim: Claim, outcome: Outcome) -> Attempted:
        now = timezone.now()
        settlement = Settlement(claim, outcome, now, now, self._workplace.name)
        return Attempted(settlement, None)

    def _withdraw(self) -> None:
        """Empty the inbox: release its claims, let upkeep announce the rest."""
        claims = []
        for item in _emptied(self._workplace.inbox):
            if isinstance(item, Claim):
                claims.append(item)
                self._forget(item)
            elif item is not None:
                self._workplace.overdue.put(item)
        if claims:
            self._store.release(claims)
            logger.info("released %d claims that had not started", len(claims))

    def _release_unknown(self) -> None:
        """Release what we hold without knowing, because an answer was lost."""
        held = self._store.held_by(self._heartbeat.identity.id.hex, MOST_HELD)
        unknown = [claim for claim in held if self._is_unknown(claim)]
        if unknown:
            self._store.release(unknown)
            logger.warning("released %d claims whose answer was lost", len(unknown))
        self._is_unsure = False

    def _is_unknown(self, claim: Claim) -> bool:
        known = self._in_hand.get(claim.id)
        return known is None or known.token != claim.token

    def _give_up(self) -> bool:
        """Give back what the grace was not enough for; charge nothing."""
        try:
            self._withdraw()
            self._interrupt()
            self._settle()
        except Error:
            logger.exception("the database is away; the lease has to expire")
            return False
        return True

    def _interrupt(self) -> None:
        for attempted in _emptied(self._workplace.outbox):
            self._take(attempted)
        for claim in self._in_hand.values():
            self._unsettled.append(self._returned(claim, Interrupted()))
            logger.warning("Task id=%s path=%s interrupted", claim.uuid, claim.path)
        self._in_hand = {}


def _emptied[T](queue: SimpleQueue[T]) -> Iterator[T]:
    """Take everything out, against others who take too."""
    with suppress(Empty):
        while True:
            yield queue.get_nowait()


def _log_lost(claim: Claim) -> None:
    logger.warning(
        "Task id=%s path=%s token=%d: the lease was lost; what this attempt did "
        "is not recorded",
        claim.uuid,
        claim.path,
        claim.token,
    )
