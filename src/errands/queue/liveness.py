"""Which workers live, and what becomes of the tasks of those that do not.

Each boot of a worker process has a row under a fresh id with the instant it
expires; the process moves that instant on with every heartbeat. Liveness
belongs to the worker, never to the age of a task.

A running task is *orphaned* when its worker has no row that lives. Any worker
may rescue it, several at once: the rescue is a write under the task's token,
so one takes effect. A row that has expired is not revived, so a worker that
was given up learns it at its next heartbeat and goes on under a new id; what
it still holds matches nothing any more.

::

    the row has expired                              ──► anybody rescues
    its process has ended, and so has its supervisor ──► anybody of this host does
    its process has ended, its supervisor lives      ──► the supervisor does

The supervisor knows what had started and what had only been claimed; who
rescues without that knowledge has to charge a crash to all of it.

Times are the database's. Rows live in the sidecar: a transaction that a task
keeps open delays no heartbeat.
"""

import logging
import os
import platform
import sys
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
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
from errands.queue.records import (
    Finish,
    Record,
    Requeue,
    crashed,
    released,
    timed_out,
)
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.sidecar import sidecar
from errands.tasks.signals import task_rescued, task_retrying, tell
from errands.text import clean_line

logger = logging.getLogger("errands.queue")

NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
    "mysql": "UTC_TIMESTAMP(6)",
}
LATER = {
    "postgresql": "statement_timestamp() + %s * interval '1 second'",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
    "mysql": "UTC_TIMESTAMP(6) + INTERVAL (%s * 1000000) MICROSECOND",
}
# Of /proc/PID/stat: a zombie, and dead.
ENDED = ("Z", "X")
FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """One boot of a worker process."""

    id: UUID
    name: str
    host: str
    pid: int
    boot: str
    supervisor: str = ""
    """Pid and boot of the process that rescues what this one held."""

    @classmethod
    def of_this_process(
        cls, worker_id: UUID, name: str = "", *, supervisor: int | None = None
    ) -> "WorkerIdentity":
        """Return the identity of this process under a fresh id."""
        host, pid = clean_line(platform.node() or "localhost"), os.getpid()
        name = name or f"{host}:{pid}"[:100]
        keeper_boot = process_boot(supervisor) if supervisor else ""
        keeper = f"{supervisor} {keeper_boot}" if keeper_boot else ""
        return cls(worker_id, name, host, pid, process_boot(pid), keeper)


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
    def has_ended(self) -> bool:
        """Whether that was the last crash, or the last attempt, allowed."""
        return isinstance(self.record, Finish)

    @property
    def is_suspect(self) -> bool:
        """Whether the task waits to run alone."""
        return isinstance(self.record, Requeue) and self.record.state == TaskState.SUSPECT


def register(alias: str, identity: WorkerIdentity, lease: timedelta) -> None:
    """Write the row of a worker that is about to claim."""
    side = sidecar(alias)
    now, later = NOW[side.vendor], LATER[side.vendor]
    side.update(
        "INSERT INTO errands_worker (id, name, host, pid, boot, supervisor, "
        f"started_at, expires_at) VALUES (%s, %s, %s, %s, %s, %s, {now}, {later})",
        [
            identity.id.hex,
            identity.name,
            identity.host,
            identity.pid,
            identity.boot,
            identity.supervisor,
            lease.total_seconds(),
        ],
    )


def heartbeat(alias: str, worker_id: UUID, lease: timedelta) -> bool:
    """Extend a worker's lease; False when it has been given up."""
    side = sidecar(alias)
    return bool(
        side.update(
            f"UPDATE errands_worker SET expires_at = {LATER[side.vendor]} "
            f"WHERE id = %s AND expires_at > {NOW[side.vendor]}",
            [lease.total_seconds(), worker_id.hex],
        )
    )


def retire(alias: str, worker_id: UUID) -> None:
    """Remove the row of a worker that holds nothing any more."""
    sidecar(alias).update("DELETE FROM errands_worker WHERE id = %s", [worker_id.hex])


def rescue_lost(store: Store) -> list[Rescued]:
    """Take back the tasks of workers that are gone; each costs a crash."""
    # Holders are read first: a worker registers before it claims, so whoever
    # holds a task now is found among the living a moment later.
    holders = store.holders()
    rescued: list[Rescued] = []
    for worker in holders - living(store.alias).keys() if holders else ():
        lost = WorkerLost(f"Worker {worker} was lost.")
        cost = partial(crashed, error=lost, worker_name=worker)
        try:
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
    death = _Death(worker_id.hex, cause, started, overdue)
    rescued = _rescue(store, death.worker, death.record_of)
    retire(store.alias, worker_id)
    return rescued


def tell_if_ended(store: Store, claim: Claim) -> None:
    """Send ``task_finished`` where giving a started task back has ended it.

    One that must not be started twice is lost then, and one that was given back
    too often may have crashed once too often.
    """
    if claim.at_most_once or claim.releases >= settings().releases:
        result = last_result(store, claim)
        if result is not None and result.is_finished:
            tell(task_finished, type(store.backend), task_result=result)


def last_result(store: Store, claim: Claim) -> TaskResult | None:
    """Return what became of a claim's task; None where nobody can say it here."""
    try:
        return store.backend.last_result(str(claim.uuid))
    except (TaskResultDoesNotExist, DecodeError, UnknownTask):
        return None


def living(alias: str) -> dict[str, str]:
    """Return the names of the workers that live, by their ids.

    Among them those that have just died and will be rescued by their supervisor.
    """
    side = sidecar(alias)
    rows = side.execute(
        "SELECT id, name, host, pid, boot, supervisor FROM errands_worker "
        f"WHERE expires_at > {NOW[side.vendor]}",
        [],
    )
    return {row[0]: row[1] for row in rows if not _Origin(*row[2:]).is_gone}


def process_boot(pid: int) -> str:
    """Return what tells this process from a later one of the same pid.

    Boot id, pid namespace and start time of the process; empty where the
    system does not say (anything but Linux) or the process is gone. One that
    has ended and only waits to be reaped, for ever where nobody does, is gone.
    """
    if sys.platform != "linux":
        return ""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *numbers = stat.rpartition(")")[2].split()
    if state in ENDED:
        return ""
    return f"{boot_id} {namespace} {numbers[18]}"


def forget_expired(alias: str) -> None:
    """Delete the rows that expired an hour ago or more."""
    side = sidecar(alias)
    long_ago = LATER[side.vendor]
    side.update(
        f"DELETE FROM errands_worker WHERE expires_at < {long_ago}",
        [-FORGOTTEN_AFTER.total_seconds()],
    )


class _Origin(NamedTuple):
    """Where a worker's process is, and who rescues what it held if it ends."""

    host: str
    pid: int
    boot: str
    supervisor: str

    @property
    def is_gone(self) -> bool:
        """Whether this very system can see that nobody looks after its tasks."""
        if not self._is_of_this_system or process_boot(self.pid) == self.boot:
            return False
        pid, _, boot = self.supervisor.partition(" ")
        return not pid or process_boot(int(pid)) != boot

    @property
    def _is_of_this_system(self) -> bool:
        ours = process_boot(os.getpid()).rpartition(" ")[0]
        if not ours or self.host != clean_line(platform.node() or "localhost"):
            return False
        return self.boot.rpartition(" ")[0] == ours


class _Death(NamedTuple):
    """What is known of a process that died."""

    worker: str
    cause: str
    started: Container[int]
    overdue: Container[int]

    def record_of(self, claim: Claim) -> Record:
        """Return what becomes of a task that the process held."""
        has_begun = claim.at_most_once and claim.started_at is not None
        if claim.id in self.overdue:
            late = TaskTimeout(f"Worker {self.worker}: {self.cause}.")
            return timed_out(claim, late, worker_name=self.worker)
        if claim.id in self.started or has_begun:
            died = TaskCrashed(f"Worker {self.worker}: {self.cause}.")
            return crashed(claim, died, worker_name=self.worker)
        return released(claim)


def _rescue(
    store: Store, worker: str, record_of: Callable[[Claim], Record]
) -> list[Rescued]:
    rescued: list[Rescued] = []
    while held := store.held_by(worker):
        records = [record_of(claim) for claim in held]
        done = store.write(records)
        if not done:
            break
        rescued += [
            Rescued(claim, record)
            for claim, record in zip(held, records, strict=True)
            if claim.id in done
        ]
    _announce(store, rescued)
    return rescued


def _announce(store: Store, rescued: Iterable[Rescued]) -> None:
    for rescue in rescued:
        if not (rescue.has_crashed or rescue.has_timed_out):
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
    if rescue.has_ended:
        tell(task_finished, sender, task_result=result)
    elif rescue.has_timed_out and isinstance(rescue.record, Requeue):
        now = instants.now()
        after = max(timedelta(), (rescue.record.run_at or now) - now)
        tell(task_retrying, sender, task_result=result, after=after)
