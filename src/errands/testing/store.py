"""The queue as one test sees it: at the test's own time, in its transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import F, QuerySet
from django.db.transaction import atomic

from errands import instants
from errands.exceptions import ErrandsError
from errands.queue.backend import DatabaseBackend
from errands.queue.claiming.horizon import Horizon
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim
from errands.queue.models import RateRow, TaskRow
from errands.queue.records import Finish, Record
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.queue.throttling.concurrency import free_slot
from errands.queue.throttling.rates import Bucket
from errands.queue.writing.settling import Written
from errands.tasks.capabilities import backend_of
from errands.tasks.rates import Rate

MOST_HELD = 1000

STAGE = (
    f"UPDATE errands_task SET state = {TaskState.READY:d} "  # noqa: S608 - constants
    f"WHERE state = {TaskState.SCHEDULED:d} AND run_at <= %s"
)


def store_of(backend: str, *, asked_by: str) -> "OwnStore":
    """Return the store of a backend; ``ErrandsError`` if it keeps no tasks."""
    configured = backend_of(backend)
    if not isinstance(configured, DatabaseBackend):
        raise ErrandsError(
            f"{asked_by} runs tasks that wait in a database. TASKS[{backend!r}] is a "
            f"{type(configured).__name__}, which keeps none there. Let the tests use "
            "errands.queue.DatabaseBackend."
        )
    return OwnStore(backend)


class OwnStore(Store):
    """A store for the only process there is.

    What the engine leaves to the server's clock and to connections beside the
    transaction is done here by ``timezone.now()`` on the test's connection. So
    it travels with the test, and is undone with it.
    """

    def stage(self, limit: int = 0) -> int:
        """Make all due tasks ready; return how many."""
        with self._cursor() as cursor:
            cursor.execute(STAGE, [self._statements.now()])
            return int(cursor.rowcount)

    def claim(
        self,
        worker_id: UUID,
        selection: Selection,
        limit: int,
        *,
        horizon: Horizon | None = None,
    ) -> list[Claim]:
        """Take up to ``limit`` tasks, now by ``timezone.now()``."""
        now = instants.now()
        claims = super().claim(worker_id, selection, limit)
        self._rows(pk__in=[claim.id for claim in claims]).update(claimed_at=now)
        return [claim._replace(claimed_at=now) for claim in claims]

    def write(self, records: Sequence[Record]) -> Written:
        """Write records, and every result: the test may ask what came of its task."""
        return super().write(
            [each.as_result() if isinstance(each, Finish) else each for each in records]
        )

    def claim_one(self, worker_id: UUID, uuid: UUID) -> Claim | None:
        """Take this task, if it is ready and has a slot."""
        with atomic(using=self.alias):
            row = self._rows(uuid=uuid, state=TaskState.READY).first()
            if row is None:
                return None
            slot = None if row.concurrency_key is None else self._free_slot(row)
            if row.concurrency_key is not None and slot is None:
                return None
            self._rows(pk=row.pk).update(
                state=TaskState.RUNNING,
                token=F("token") + 1,
                attempt=F("attempt") + 1,
                worker=worker_id.hex,
                slot=slot,
                claimed_at=instants.now(),
            )
        held = self.held_by(worker_id.hex, MOST_HELD)
        return next(claim for claim in held if claim.id == row.pk)

    def hasten(self, uuid: UUID) -> None:
        """Make a scheduled task ready though it is not due."""
        self._rows(uuid=uuid, state=TaskState.SCHEDULED).update(state=TaskState.READY)

    def take(self, key: str, rate: Rate) -> timedelta | None:
        """Count a start under a rate; or return how long to wait and ask again."""
        rows = RateRow.objects.using(self.alias)
        row, _ = rows.get_or_create(key=key, defaults={"free_at": 0, "hint_at": 0})
        bucket, wait = Bucket(row.free_at, row.hint_at).asked(
            rate, now=instants.microseconds(instants.now())
        )
        rows.filter(key=key).update(free_at=bucket.free_at, hint_at=bucket.hint_at)
        return timedelta(microseconds=wait) if wait else None

    def _free_slot(self, row: TaskRow) -> int | None:
        with connections[self.alias].cursor() as cursor:
            return free_slot(cursor, str(row.concurrency_key), row.concurrency_limit or 0)

    def _rows(self, **conditions: Any) -> QuerySet[TaskRow]:
        return TaskRow.objects.using(self.alias).filter(**conditions)
