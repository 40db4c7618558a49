"""Which workers live.

Each boot of a worker process has a row under a fresh id with the instant it
expires; the process moves that instant on with every heartbeat. Liveness
belongs to the worker, never to the age of a task. A row that has expired is not
revived, so a worker that was given up learns it at its next heartbeat and goes
on under a new id; what it still holds matches nothing any more.

::

    the row has expired                              ──► anybody rescues
    its process has ended, and so has its supervisor ──► anybody of this host does
    its process has ended, its supervisor lives      ──► the supervisor does

Times are the database's. Rows live in the sidecar: a transaction that a task
keeps open delays no heartbeat.
"""

import os
import platform
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from errands.queue.living.processes import has_ended, process_boot
from errands.queue.statements import DATABASES
from errands.sidecar import Sidecar, sidecar
from errands.text import clean_line

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
        host, pid = _host(), os.getpid()
        name = name or default_name(pid)
        keeper_boot = process_boot(supervisor) if supervisor else ""
        keeper = f"{supervisor} {keeper_boot}" if keeper_boot else ""
        return cls(worker_id, name, host, pid, process_boot(pid), keeper)


def default_name(pid: int) -> str:
    """Return what a process of this host is called that nobody has named."""
    return f"{_host()}:{pid}"[:100]


def _host() -> str:
    return clean_line(platform.node() or "localhost")


def register(alias: str, identity: WorkerIdentity, lease: timedelta) -> None:
    """Write the row of a worker that is about to claim."""
    side = sidecar(alias)
    now, later = _clock(side)
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
    now, later = _clock(side)
    extended = side.update(
        f"UPDATE errands_worker SET expires_at = {later} "
        f"WHERE id = %s AND expires_at > {now}",
        [lease.total_seconds(), worker_id.hex],
    )
    return extended == 1


def retire(alias: str, worker_id: UUID) -> None:
    """Remove the row of a worker that holds nothing any more."""
    sidecar(alias).update("DELETE FROM errands_worker WHERE id = %s", [worker_id.hex])


def living(alias: str) -> dict[str, str]:
    """Return the names of the workers that live, by their ids.

    Among them those that have just died and will be rescued by their supervisor.
    """
    side = sidecar(alias)
    now, _ = _clock(side)
    rows = side.execute(
        "SELECT id, name, host, pid, boot, supervisor FROM errands_worker "
        f"WHERE expires_at > {now}",
        [],
    )
    return {row[0]: row[1] for row in rows if not _Origin(*row[2:]).is_gone}


def name_of(alias: str, worker: str) -> str:
    """Return the name of a worker that may be dead; its id where no row is left."""
    rows = sidecar(alias).execute(
        "SELECT name FROM errands_worker WHERE id = %s", [worker]
    )
    return str(rows[0][0]) if rows else worker


def forget_expired(alias: str) -> None:
    """Delete the rows that expired an hour ago or more."""
    side = sidecar(alias)
    _, long_ago = _clock(side)
    side.update(
        f"DELETE FROM errands_worker WHERE expires_at < {long_ago}",
        [-FORGOTTEN_AFTER.total_seconds()],
    )


def _clock(side: Sidecar) -> tuple[str, str]:
    """Return the database's time now, and so many seconds later, as SQL."""
    statements = DATABASES[side.vendor]
    return statements.clock, statements.later


class _Origin(NamedTuple):
    """Where a worker's process is, and who rescues what it held if it ends."""

    host: str
    pid: int
    boot: str
    supervisor: str

    @property
    def is_gone(self) -> bool:
        """Whether this very system can see that nobody looks after its tasks."""
        if not (self._is_of_this_system and has_ended(self.pid, self.boot)):
            return False
        pid, _, boot = self.supervisor.partition(" ")
        return not pid or has_ended(int(pid), boot)

    @property
    def _is_of_this_system(self) -> bool:
        ours = process_boot(os.getpid()).rpartition(" ")[0]
        if not ours or self.host != clean_line(platform.node() or "localhost"):
            return False
        return self.boot.rpartition(" ")[0] == ours
