"""The queue under test: workers moved by hand, and a time that is moved too.

The clock of a database cannot be turned, so the rows are: an instant that
should come 100 s nearer is written 100 s earlier. Whatever a database asks its
clock, it then answers as if that time had passed.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from django.db import connection
from django.db.models import F

from errands import instants
from errands.queue.claiming.picking import QueuePicker
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim, Settlement
from errands.queue.living import liveness
from errands.queue.models import QueueRow, RateRow, ResultRow, TaskRow
from errands.queue.store import Store
from errands.queue.writing.keeping import kept_by
from errands.sidecar import sidecar
from errands.tasks.outcomes import Outcome, Succeeded
from tests.testapp.models import Account

LEASE_SECONDS = 250
LEASE = timedelta(seconds=LEASE_SECONDS)
EXPIRED = timedelta(seconds=-60)
LIVE_COLUMNS = (
    "state", "queue", "rank", "attempt", "crashes", "token", "worker",
    "uuid", "slot", "concurrency_key", "concurrency_limit", "unique_key", "id",
)  # fmt: skip
RESULT_COLUMNS = ("status", "queue", "rank", "attempt", "crashes", "token", "uuid", "id")


class Worker:
    """A worker process, as the queue sees one."""

    def __init__(self, store: Store, now: int) -> None:
        self.store = store
        self.claims: dict[int, Claim] = {}
        self.is_frozen = False
        self.boot(now)

    def boot(self, now: int) -> None:
        """Register under a fresh id."""
        self.identity = liveness.WorkerIdentity.of_this_process(uuid4())
        self.alive_until = now + LEASE_SECONDS
        liveness.register(self.store.alias, self.identity, LEASE)

    @property
    def id(self) -> str:
        """Its id as rows hold it."""
        return self.identity.id.hex

    def beat(self, now: int) -> bool:
        """Extend the lease; False when the worker was given up."""
        is_alive = liveness.heartbeat(self.store.alias, self.identity.id, LEASE)
        self.alive_until = now + LEASE_SECONDS if is_alive else self.alive_until
        return is_alive

    def claim(self, queues: str, limit: int) -> list[Claim]:
        """Take what is ready, as the courier does with nothing in hand."""
        picker = QueuePicker(self.store, Selection.parse(queues), threads=limit)
        claims = picker.claim(self.identity.id, limit)
        self.claims.update((claim.id, claim) for claim in claims)
        return claims

    def settle(self, claim: Claim, outcome: Outcome) -> bool:
        """Settle one claim; False when its lease was lost."""
        return bool(self.store.settle([self.settlement(claim, outcome)]))

    def settlement(self, claim: Claim, outcome: Outcome) -> Settlement:
        """Return the end of an attempt."""
        now = instants.now()
        ended = Settlement(claim, outcome, now, now, self.identity.name)
        keep = kept_by(claim.path, {}, has_succeeded=isinstance(outcome, Succeeded))
        return replace(ended, keep=keep)


def clear() -> None:
    """Empty the queue."""
    for row in (TaskRow, ResultRow, QueueRow):
        row.objects.all().delete()
    Account.objects.all().delete()
    side = sidecar()
    side.update("DELETE FROM errands_worker")
    side.update("DELETE FROM errands_rate")


def let_pass(seconds: int, workers: Sequence[Worker], *, now: int) -> None:
    """Move every instant, and the leases of workers that do not beat."""
    step = timedelta(seconds=seconds)
    TaskRow.objects.exclude(run_at=None).update(run_at=F("run_at") - step)
    ResultRow.objects.update(finished_at=F("finished_at") - step)
    ResultRow.objects.exclude(expires_at=None).update(expires_at=F("expires_at") - step)
    if connection.vendor != "sqlite":
        RateRow.objects.update(
            free_at=F("free_at") - seconds * 1_000_000,
            hint_at=F("hint_at") - seconds * 1_000_000,
        )
    for worker in workers:
        if worker.alive_until < now:
            liveness.heartbeat(worker.store.alias, worker.identity.id, EXPIRED)


def live_rows() -> list[dict[str, object]]:
    """Return all of the live rows."""
    return list(TaskRow.objects.order_by("id").values(*LIVE_COLUMNS))


def result_rows() -> list[dict[str, object]]:
    """Return all of the results."""
    return list(ResultRow.objects.order_by("id").values(*RESULT_COLUMNS))


def shared(row: dict[str, object]) -> tuple[object, ...]:
    """Return what a live row and a result say of a task, as the model does."""
    priority = -int(str(row["rank"]))
    counted = (row["attempt"], row["crashes"], row["token"])
    return row["queue"], priority, *counted, row.get("worker")
