"""What becomes of the tasks of workers that do not live any more.

A running task is *orphaned* when its worker has no row that lives
(``liveness``). Any worker may rescue it, several at once: the rescue is a write
under the task's token, so one takes effect.

The supervisor of a dead child knows what had started there and what had only
been claimed; who rescues without that knowledge has to charge a crash to all of
it. Whoever dies in the middle has rescued some, and the others find the rest.
"""

import logging
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db import Error
from django.tasks import TaskResult
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_finished

from errands import instants
from errands.conf import settings
from errands.exceptions import (
    DecodeError,
    TaskCrashed,
    TaskTimeout,
    UnknownTask,
    WorkerLost,
)
from errands.queue.claims import Claim
from errands.queue.living.liveness import living, name_of, retire
from errands.queue.records import Finish, Record, Requeue
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
from errands.queue.writing.deciding import crashed, released, timed_out
from errands.tasks.signals import task_discarded, task_rescued, task_retrying, tell

logger = logging.getLogger("errands.queue")


@dataclass(frozen=True, slots=True)
class Rescued:
    """A task taken back from a dead worker, and what that wrote."""

    claim: Claim
    record: Record

    @property
    def has_crashed(self) -> bool:
        """Whether it cost the task a crash; else it was only released."""
        return self.record.crashes > self.claim.crashes

    @property
    def has_timed_out(self) -> bool:
        """Whether it was killed because it was overdue, which costs the attempt."""
        return not self.has_crashed and self.record.attempt == self.claim.attempt

    @property
    def was_attempted(self) -> bool:
        """Whether it was more than a claim that is given back."""
        return self.has_crashed or self.has_timed_out

    @property
    def has_ended(self) -> bool:
        """Whether that was the last crash, or the last attempt, allowed."""
        return isinstance(self.record, Finish)

    @property
    def is_discarded(self) -> bool:
        """Whether the task declares a timeout as not worth a retry."""
        record = self.record
        return isinstance(record, Finish) and record.status == ResultStatus.DISCARDED

    @property
    def is_suspect(self) -> bool:
        """Whether the task waits to run alone."""
        return isinstance(self.record, Requeue) and self.record.state == TaskState.SUSPECT


def rescue_lost(store: Store) -> list[Rescued]:
    """Take back the tasks of workers that are gone; each costs a crash."""
    # Holders are read first: a worker registers before it claims, so whoever
    # holds a task now is found among the living a moment later.
    holders = store.holders()
    rescued: list[Rescued] = []
    for worker in holders - living(store.alias).keys() if holders else ():
        try:
            name = name_of(store.alias, worker)
            lost = WorkerLost(f"Worker {name} was lost.")
            cost = partial(crashed, error=lost, worker_name=name)
            rescued += _rescue(store, worker, cost)
        except Error:
            raise
        except Exception:
            logger.exception("what worker id=%s held is not rescued", worker)
    return rescued


def rescue_worker(
    store: Store,
    worker_id: UUID,
    *,
    cause: str,
    started: Container[int] = frozenset(),
    overdue: Container[int] = frozenset(),
) -> list[Rescued]:
    """Take back the tasks of a dead child at once.

    The ``overdue`` ones it was killed for are charged the attempt. Those that
    had ``started`` may have killed it: each costs a crash, and becomes a
    suspect. The others are released uncharged.
    """
    name = name_of(store.alias, worker_id.hex)
    death = _Death(name, cause, started, overdue)
    rescued = _rescue(store, worker_id.hex, death.record_of)
    retire(store.alias, worker_id)
    return rescued


def may_have_ended(claim: Claim) -> bool:
    """Return whether giving a started task back may have ended it.

    One that must not be started twice is lost then, and one that was given back
    too often may have crashed once too often.
    """
    return claim.at_most_once or claim.releases >= settings().releases


def tell_if_ended(store: Store, claim: Claim) -> None:
    """Send ``task_finished`` where giving a started task back has ended it."""
    result = last_result(store, claim) if may_have_ended(claim) else None
    if result is not None and result.is_finished:
        tell(task_finished, type(store.backend), task_result=result)


def last_result(store: Store, claim: Claim) -> TaskResult | None:
    """Return what became of a claim's task; None where nobody can say it here."""
    try:
        return store.backend.last_result(str(claim.uuid))
    except (TaskResultDoesNotExist, DecodeError, UnknownTask):
        return None


class _Death(NamedTuple):
    """What is known of a process that died."""

    name: str
    cause: str
    started: Container[int]
    overdue: Container[int]

    def record_of(self, claim: Claim) -> Record:
        """Return what becomes of a task that the process held."""
        has_begun = claim.at_most_once and claim.started_at is not None
        if claim.id in self.overdue:
            late = TaskTimeout(f"Worker {self.name}: {self.cause}.")
            return timed_out(claim, late, worker_name=self.name)
        if claim.id in self.started or has_begun:
            died = TaskCrashed(f"Worker {self.name}: {self.cause}.")
            return crashed(claim, died, worker_name=self.name)
        return released(claim)


def _rescue(
    store: Store, worker: str, record_of: Callable[[Claim], Record]
) -> list[Rescued]:
    rescued: list[Rescued] = []
    while held := store.held_by(worker):
        written = store.write([record_of(claim) for claim in held])
        if not written:
            break
        rescued += [
            Rescued(claim, written[claim.id]) for claim in held if claim.id in written
        ]
    _announce(store, rescued)
    return rescued


def _announce(store: Store, rescued: Iterable[Rescued]) -> None:
    for rescue in rescued:
        if not rescue.was_attempted:
            continue
        logger.warning(
            "Task id=%s path=%s rescued crashes=%s ended=%s",
            rescue.claim.uuid,
            rescue.claim.path,
            rescue.record.crashes,
            rescue.has_ended,
        )
        result = last_result(store, rescue.claim)
        if result is not None:
            _send(type(store.backend), rescue, result)


def _send(sender: type, rescue: Rescued, result: TaskResult) -> None:
    if rescue.has_crashed:
        tell(task_rescued, sender, task_result=result)
    if rescue.is_discarded:
        try:
            raise TaskTimeout
        except TaskTimeout:  # as in the process that was killed: receivers ask for it
            tell(task_discarded, sender, task_result=result)
            tell(task_finished, sender, task_result=result)
    elif rescue.has_ended:
        tell(task_finished, sender, task_result=result)
    elif rescue.has_timed_out and isinstance(rescue.record, Requeue):
        now = instants.now()
        after = max(timedelta(), (rescue.record.run_at or now) - now)
        tell(task_retrying, sender, task_result=result, after=after)
