"""Which workers live, and what becomes of the tasks of those that do not.

Each boot of a worker process has a row under a fresh id with the instant it
expires; the process moves that instant on with every heartbeat. Liveness
belongs to the worker, never to the age of a task.

A running task is *orphaned* when its worker has no row that lives. Any worker
may rescue it, several at once: the rescue is a write under the task's token,
so one takes effect. A row that has expired is not revived, so a worker that
was given up learns it at its next heartbeat and goes on under a new id; what
it still holds matches nothing any more.

Times are the database's. Rows live in the sidecar: a transaction that a task
keeps open delays no heartbeat.
"""

import logging
import os
import platform
import sys
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.tasks import TaskResult
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_finished

from errands.exceptions import DecodeError, TaskCrashed, UnknownTask, WorkerLost
from errands.queue.claims import Claim
from errands.queue.records import Finish, Record, crashed, released
from errands.queue.store import Store
from errands.sidecar import sidecar
from errands.tasks.signals import task_rescued
from errands.text import clean_line

logger = logging.getLogger("errands.queue")

NOW = {
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')",
}
LATER = {
    "postgresql": "statement_timestamp() + %s * interval '1 second'",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')",
}
FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """One boot of a worker process."""

    id: UUID
    name: str
    host: str
    pid: int
    boot: str

    @classmethod
    def of_this_process(cls, worker_id: UUID, name: str = "") -> "WorkerIdentity":
        """Return the identity of this process under a fresh id."""
        host, pid = clean_line(platform.node() or "localhost"), os.getpid()
        return cls(worker_id, name or f"{host}:{pid}"[:100], host, pid, process_boot(pid))


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
    def has_ended(self) -> bool:
        """Whether that was the last crash allowed."""
        return isinstance(self.record, Finish)


def register(alias: str, identity: WorkerIdentity, lease: timedelta) -> None:
    """Write the row of a worker that is about to claim."""
    side = sidecar(alias)
    now, later = NOW[side.vendor], LATER[side.vendor]
    side.update(
        "INSERT INTO errands_worker (id, name, host, pid, boot, started_at, "
        f"expires_at) VALUES (%s, %s, %s, %s, %s, {now}, {later})",
        [
            identity.id.hex,
            identity.name,
            identity.host,
            identity.pid,
            identity.boot,
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
    for worker in holders - _living(store.alias) if holders else ():
        lost = WorkerLost(f"Worker {worker} was lost.")
        rescued += _rescue(store, worker, started=None, death=lost)
    _forget_expired(store.alias)
    return rescued


def rescue_worker(
    store: Store, worker_id: UUID, *, started: Container[int], cause: str
) -> list[Rescued]:
    """Take back the tasks of a dead child at once.

    Those it had started cost a crash; the others are released uncharged.
    """
    died = TaskCrashed(f"Worker {worker_id.hex}: {cause}.")
    rescued = _rescue(store, worker_id.hex, started=started, death=died)
    retire(store.alias, worker_id)
    return rescued


def process_boot(pid: int) -> str:
    """Return what tells this process from a later one of the same pid.

    Boot id, pid namespace and start time of the process; empty where the
    system does not say (anything but Linux) or the process is gone.
    """
    if sys.platform != "linux":
        return ""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    started = stat.rpartition(")")[2].split()[19]
    return f"{boot_id} {namespace} {started}"


def _living(alias: str) -> set[str]:
    side = sidecar(alias)
    rows = side.execute(
        "SELECT id, host, pid, boot FROM errands_worker "
        f"WHERE expires_at > {NOW[side.vendor]}",
        [],
    )
    return {row[0] for row in rows if not _is_gone(*row[1:])}


def _is_gone(host: str, pid: int, boot: str) -> bool:
    """Return whether this very system can see that the process has ended."""
    ours = process_boot(os.getpid())
    if not boot or not ours or host != clean_line(platform.node() or "localhost"):
        return False
    same_system = boot.rpartition(" ")[0] == ours.rpartition(" ")[0]
    return same_system and process_boot(pid) != boot


def _forget_expired(alias: str) -> None:
    side = sidecar(alias)
    long_ago = LATER[side.vendor]
    side.update(
        f"DELETE FROM errands_worker WHERE expires_at < {long_ago}",
        [-FORGOTTEN_AFTER.total_seconds()],
    )


def _rescue(
    store: Store, worker: str, *, started: Container[int] | None, death: TaskCrashed
) -> list[Rescued]:
    rescued: list[Rescued] = []
    while held := store.held_by(worker):
        records: list[Record] = [
            released(claim)
            if started is not None and claim.id not in started
            else crashed(claim, death, worker_name=worker)
            for claim in held
        ]
        done = store.write(records)
        if not done:
            break
        rescued += [
            Rescued(claim, record)
            for claim, record in zip(held, records, strict=True)
            if claim.id in done
        ]
    _announce(store, [rescue for rescue in rescued if rescue.has_crashed])
    return rescued


def _announce(store: Store, rescued: Iterable[Rescued]) -> None:
    for rescue in rescued:
        logger.warning(
            "Task id=%s path=%s rescued crashes=%s ended=%s",
            rescue.claim.uuid,
            rescue.claim.path,
            rescue.record.crashes,
            rescue.has_ended,
        )
        result = _result(store, rescue)
        if result is not None:
            sent: dict[str, Any] = {"sender": type(store.backend)}
            task_rescued.send_robust(**sent, task_result=result)
            if rescue.has_ended:
                task_finished.send_robust(**sent, task_result=result)


def _result(store: Store, rescue: Rescued) -> TaskResult | None:
    try:
        return store.backend.get_result(str(rescue.claim.uuid))
    except (TaskResultDoesNotExist, DecodeError, UnknownTask):
        return None
