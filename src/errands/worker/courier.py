"""The only thread of a process that moves tasks between it and the database.

::

    database ──claim──► inbox ──► executor ──► outbox ──settle──► database
                          │ ▲                               │
       released ◄─withdraw┘ └──── acknowledged: announce ◄──┘

One round: gather what executors have put out, settle all of it in one
transaction, claim what can start now. While a round is on the wire the next
outcomes gather, so an idle process settles at once and a busy one in batches
of hundreds, without any timer.

If we die between claim and inbox, or between outbox and settle, the rows still
say *running* for us: the supervisor or the expired lease takes them back. If
the *answer* to a claim is lost, they say so too and we are alive; what that
takes is in ``hand``. If the answer to a settle is lost, the outcome is settled
again: the results hold our token, or the row still does.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread

from django.db import Error, connections
from django.tasks.signals import task_finished

from errands import instants
from errands.queue.claiming.picking import Picker, QueuePicker
from errands.queue.claiming.suspects import IdlePicker, SuspectPicker
from errands.queue.claims import Claim, Settlement
from errands.tasks.hearing import is_heard
from errands.tasks.outcomes import Interrupted, Outcome
from errands.text import clean_line
from errands.worker.announcing import Announcer, is_of_interest
from errands.worker.connections import renew_after_outage
from errands.worker.hand import Hand
from errands.worker.heartbeat import Heartbeat
from errands.worker.outage import Outage
from errands.worker.pace import Pace
from errands.worker.share import Share
from errands.worker.workplace import COURIER_POLL_SECONDS, Attempted, Workplace

logger = logging.getLogger("errands.worker")

OVERRUN_SECONDS = 0.1


class Courier:
    """Claims, hands out, gathers and settles, until told to stop or done."""

    def __init__(
        self,
        workplace: Workplace,
        heartbeat: Heartbeat,
        announcers: Sequence[Announcer],
        *,
        threads: Sequence[Thread] = (),
    ) -> None:
        self._workplace = workplace
        self._heartbeat = heartbeat
        self._announcers = announcers
        self._threads = threads
        self._store = workplace.store
        self._stop = workplace.stop
        # SimpleQueue.put is safe in a signal handler.
        self._stop.wake = partial(workplace.outbox.put, None)
        self._options = workplace.options
        self._bell = workplace.bells.courier
        self._floor = workplace.floor
        self._picker = _picker_of(workplace)
        self._share = Share(workplace)
        self._has_pools = workplace.options.selection.has_pools
        self._pace = Pace(workplace.options.threads)
        self._hand = Hand(workplace.store, heartbeat)
        self._unsettled: list[Attempted] = []
        self._to_announce = 0
        self._hand_on: Callable[[Attempted], None] = workplace.inbox.put
        self._is_drained = False
        self._moved_at = 0.0
        self._is_idle_poll = False

    def work(self) -> bool:
        """Go round until there is nothing to do; return whether all was settled."""
        try:
            self._go_round_until_done()
        finally:
            self._floor.leave()
        return self._give_up()

    def _go_round_until_done(self) -> None:
        outage = Outage("courier")
        while not self._is_done:
            try:
                self._go_round()
                outage.end()
            except Error as error:
                self._hand.is_unsure = True
                self._floor.leave()
                outage.endure(error)
                self._bell.ring()

    def _go_round(self) -> None:
        self._gather()
        # The connection may be another one from here on.
        renew_after_outage()
        with connections[self._store.alias].execute_wrapper(self._floor.left):
            self._move()

    def _move(self) -> None:
        self._bell.look()
        self._hand.take_along()
        if self._is_ahead:
            self._claim()
        self._settle()
        self._miss_nobody()
        self._hand.compare()
        self._share.leave_if_due()
        if self._is_ending:
            self._withdraw()
        else:
            self._claim()

    def _miss_nobody(self) -> None:
        """Break where a thread has died, as of what a task has done to all of them.

        What an executor ran would run for ever, under a lease that is kept alive.
        What had ended before is settled by now.
        """
        for thread in self._threads:
            if not thread.is_alive():
                raise RuntimeError(f"The thread {thread.name} of this worker has died.")

    @property
    def _is_ahead(self) -> bool:
        """Whether to claim before settling, so that executors have work meanwhile.

        Where no more came back than threads can run, they may wait for that.
        """
        if len(self._unsettled) <= self._options.executors:
            return False
        return self._ahead > 0 and not (self._is_ending or self._hand.is_unsure)

    @property
    def _is_ending(self) -> bool:
        """Whether to give back what has not started, and claim nothing more."""
        return self._stop.is_requested or self._share.is_leaving

    @property
    def _is_done(self) -> bool:
        if self._stop.is_requested:
            return self._stop.is_overdue or self._is_idle
        has_done_its_share = self._share.is_done(self._unsettled_count)
        return (self._is_drained or has_done_its_share) and self._is_idle

    @property
    def _is_idle(self) -> bool:
        return not (self._hand or self._unsettled or self._announcing)

    @property
    def _announcing(self) -> int:
        """How many announcements go on; who ends one from now on wakes us."""
        self._workplace.is_short.set()
        told = sum(announcer.count for announcer in self._announcers)
        return self._to_announce - told

    @property
    def _unsettled_count(self) -> int:
        """How many attempts are made, or will be, and not counted yet."""
        return len(self._hand) + len(self._unsettled)

    def _gather(self) -> None:
        """Wait for the first outcome, and take all that there are.

        Where claims wait and nothing comes back, the tasks before them
        overrun: what has not started is released for other workers.
        """
        outbox = self._workplace.outbox
        back: list[Attempted | None] = []
        self._floor.leave()
        try:
            back.append(outbox.get(timeout=self._patience))
        except Empty:
            self._is_idle_poll = self._is_idle and self._bell.is_wired
        else:
            self._is_idle_poll = False
        back += [outbox.get_nowait() for _ in range(outbox.qsize())]
        if len(back) > self._options.executors:
            self._floor.take()
        self._take(filter(None, back))
        if self._left_to_overrun <= 0 and not self._workplace.inbox.empty():
            self._pace.forget()
            self._withdraw()

    @property
    def _patience(self) -> float:
        if self._unsettled:
            return 0.0
        if self._stop.is_requested:
            return OVERRUN_SECONDS
        if not self._workplace.inbox.empty():
            return max(0.0, self._left_to_overrun)
        return min(self._bell.patience, self._longest_patience)

    @property
    def _longest_patience(self) -> float:
        """A burst ends when others have ended, of which nobody tells."""
        is_impatient = self._options.burst or not self._heartbeat.may_claim
        poll = COURIER_POLL_SECONDS if is_impatient else self._bell.poll_seconds
        return min(poll, self._picker.patience)

    @property
    def _left_to_overrun(self) -> float:
        return self._moved_at + OVERRUN_SECONDS - time.monotonic()

    def _take(self, back: Iterable[Attempted]) -> None:
        took, ended = timedelta(), 0
        for attempted in back:
            settlement = attempted.settlement
            if not self._hand.let_go(settlement.claim) or attempted.is_lost:
                _log_lost(settlement.claim)
                # Its session may have been a wrong one: if it is ours, it is released.
                self._hand.is_unsure = True
                continue
            self._unsettled.append(attempted)
            took += settlement.finished_at - settlement.started_at
            ended += 1
        if ended:
            self._moved_at = time.monotonic()
            self._pace.note(took.total_seconds() / ended, attempts=ended)

    def _settle(self) -> None:
        if not self._unsettled:
            return
        to_settle = [each for each in self._unsettled if not each.is_settled]
        settled = self._store.settle([each.settlement for each in to_settle])
        acknowledged: list[type[Outcome]] = []
        acknowledge = partial(self._acknowledge, is_success_heard=is_heard(task_finished))
        for attempted in self._unsettled:
            claim = attempted.settlement.claim
            if attempted.is_settled:
                acknowledged.append(acknowledge(attempted))
            elif (recorded := settled.get(claim.id)) is not None:
                if recorded is not attempted.settlement:
                    attempted = attempted._replace(settlement=recorded)  # noqa: PLW2901
                acknowledged.append(acknowledge(attempted))
            else:
                _log_lost(claim)
        self._share.count(Counter(acknowledged))
        self._unsettled = []
        self._moved_at = time.monotonic()

    def _acknowledge(
        self, attempted: Attempted, *, is_success_heard: bool
    ) -> type[Outcome]:
        if is_of_interest(attempted, is_success_heard=is_success_heard):
            self._to_announce += 1
            self._hand_on(attempted)
        return type(attempted.settlement.outcome)

    def _claim(self) -> None:
        """Take what can start now, and a little ahead while tasks are quick.

        What is claimed ahead is topped up by thirds, not one by one.
        """
        ahead = self._ahead
        awaiting = len(self._workplace.awaiting)
        announcing = 0 if ahead else self._announcing
        wanted = self._options.executors + awaiting + ahead - len(self._hand) - announcing
        is_little = wanted < 1 or 3 * wanted < ahead
        if is_little or not self._heartbeat.may_claim:
            return
        wanted = self._share.within(wanted, unsettled=self._unsettled_count)
        if self._is_idle_poll:
            self._picker.trust_pauses()
        claims = self._picker.claim(
            self._heartbeat.identity.id,
            wanted,
            held=(claim.queue for claim in self._hand),
            awaiting=awaiting,
        )
        if not announcing or len(claims) < wanted:
            # Who ends an announcement makes room for nothing that waits.
            self._workplace.is_short.clear()
        self._workplace.slots.say_ready()
        for claim in claims:
            self._hand_out(claim)
        if self._options.burst and not claims and self._is_idle:
            self._is_drained = self._picker.is_drained()

    @property
    def _ahead(self) -> int:
        """What waits in the inbox starts in any thread: pools allow none of it."""
        return 0 if self._has_pools else self._pace.ahead

    def _hand_out(self, claim: Claim) -> None:
        self._hand.take(claim)
        self._moved_at = time.monotonic()
        self._workplace.inbox.put(claim)

    def _returned(self, claim: Claim, outcome: Outcome) -> Attempted:
        now = instants.now()
        settlement = Settlement(claim, outcome, now, now, self._workplace.name)
        return Attempted(settlement, None)

    def _withdraw(self) -> None:
        """Empty the inbox: release its claims, let upkeep announce the rest."""
        claims = []
        for item in _emptied(self._workplace.inbox):
            if isinstance(item, Claim):
                claims.append(item)
                self._hand.let_go(item)
            elif item is not None:
                self._workplace.overdue.put(item)
        if claims:
            self._store.release(claims)
            logger.info("released %d claims that had not started", len(claims))

    def _give_up(self) -> bool:
        """Give back what the grace was not enough for; charge nothing."""
        # Nobody is waited for any more: what ends by that is told here.
        self._hand_on = Announcer(self._workplace).announce
        try:
            self._withdraw()
            self._interrupt()
            self._settle()
            self._hand.take_along()
            self._hand.compare()
        except Error as error:
            told = clean_line(error)
            logger.warning("the database is away; the lease has to expire: %s", told)
            return False
        return True

    def _interrupt(self) -> None:
        self._take(filter(None, _emptied(self._workplace.outbox)))
        for claim in self._hand.empty():
            self._unsettled.append(self._returned(claim, Interrupted()))
            logger.warning("Task id=%s path=%s interrupted", claim.uuid, claim.path)


def _picker_of(workplace: Workplace) -> Picker:
    options, store = workplace.options, workplace.store
    patience = options.quarantine_patience
    suspects = SuspectPicker(store, options.selection, patience=patience)
    if options.quarantine:
        return suspects
    picker = QueuePicker(store, options.selection, threads=options.threads)
    if workplace.slots.path is not None:
        return picker
    return IdlePicker(picker, suspects, lambda: workplace.slots.reports)


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
