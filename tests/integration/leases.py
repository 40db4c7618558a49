"""The leases of real workers: watched, and ended by whoever tests their end.

So few tests need leases that are short enough to wait for, which a machine that
stands still for a moment would take from workers that live.
"""

from datetime import timedelta
from uuid import UUID

from errands.queue.living import liveness
from errands.queue.models import WorkerRow
from errands.sidecar import sidecar
from tests.integration.processes import eventually

OF_PROCESS = f"SELECT id, expires_at FROM {WorkerRow._meta.db_table} WHERE pid = %s"


def wait_for_heartbeat(pid: int) -> None:
    """Return just after a process said that it lives.

    For the better part of a second it holds no lock of the sidecar's database.
    """
    before = _leases(pid)
    eventually(lambda: _leases(pid) != before, f"process {pid} has a heartbeat")


def end_lease(pid: int) -> None:
    """Let the lease of a process that can say nothing be over."""
    for worker in _leases(pid):
        liveness.heartbeat("default", UUID(worker), timedelta(seconds=-60))


def _leases(pid: int) -> dict[str, object]:
    return dict(sidecar("default").execute(OF_PROCESS, [pid]))
