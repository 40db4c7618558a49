"""The queue of one backend, as its workers see it.

::

    enqueue ──► scheduled ──stage──► ready ──claim──► running ──finish──► result
                    ▲                  ▲                 │
                    └──── retry ───────┴──── release ────┘

Who may write what: anybody inserts; a *claim* takes a ready row and raises its
token; from then on only who holds that token may write the row, and every such
write is ``WHERE id AND token AND state = running``. A rescue takes the row
back first, after which the old token matches nothing.

If a worker dies before a claim commits, nothing was taken. If it dies after,
its lease expires and the row is rescued. If it dies while settling, the
transaction either moved the row or did not; an answer that was lost is read
back by (id, token). Not promised: that a task runs once. An attempt whose
worker lost its lease may still be running when the next one starts.
"""

import logging
from collections.abc import Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic
from django.utils import timezone

from errands.conf import settings
from errands.queue.backend import backends
from errands.queue.claims import EVERY_QUEUE, Claim, Selection, Settlement
from errands.queue.records import (
    Finish,
    Record,
    Requeue,
    record_of,
    refused,
    released,
)
from errands.queue.statements import Statements, statements_for
from errands.queue.statements.interface import ClaimFilter
from errands.queue.states import ResultStatus, TaskState

logger = logging.getLogger("errands.queue")

LOWEST_RANK, HIGHEST_RANK = -32_768, 32_767
BATCH = 1000


def _ranks(selection: Selection) -> tuple[int, int]:
    low, high = selection.min_priority, selection.max_priority
    return (
        LOWEST_RANK if high is None else -high,
        HIGHEST_RANK if low is None else -low,
    )


def _filter(
    worker_id: UUID, selection: Selection, *, queue: str, limit: int
) -> ClaimFilter:
    low, high = _ranks(selection)
    name = None if queue == EVERY_QUEUE else queue
    return ClaimFilter(worker_id.hex, limit, name, low, high)


def _places(values: Sized) -> str:
    return ", ".join(["%s"] * len(values))


class Store:
    """Claims, settles and tends the rows of one backend.

    Each method is one short transaction on the calling thread's connection
    and raises ``django.db.Error`` when the database is away.
    """

    def __init__(self, backend_alias: str) -> None:
        known = {backend.alias: backend for backend in backends()}
        if backend_alias not in known:
            raise ValueError(
                f"TASKS has no {backend_alias!r} that keeps tasks in a database. "
                f"Known: {', '.join(known) or 'none; set TASKS'}."
            )
        self.backend = known[backend_alias]
        self.alias = self.backend.database_alias

    def claim(self, worker_id: UUID, selection: Selection, limit: int) -> list[Claim]:
        """Take up to ``limit`` tasks, emptying queues in the order named."""
        claims: list[Claim] = []
        for queue in selection.queues:
            if len(claims) < limit:
                wanted = _filter(
                    worker_id, selection, queue=queue, limit=limit - len(claims)
                )
                with self._cursor() as cursor:
                    claims += self._statements.claim(cursor, wanted)
        return claims

    def settle(self, settlements: Sequence[Settlement]) -> set[int]:
        """Record how attempts ended; return the ids that were still held.

        One transaction for all. An id that is missing from the answer had
        been taken over: what its attempt did is not recorded.
        """
        return self.write([record_of(settlement) for settlement in settlements])

    def release(self, claims: Sequence[Claim]) -> int:
        """Give claims back that were not started; it costs them nothing."""
        return len(self.write([released(claim) for claim in claims]))

    def write(self, records: Sequence[Record]) -> set[int]:
        """Write records in one transaction; return the ids that took effect.

        A batch that the database refuses is halved until the record at fault
        stands alone; that task ends as failed, with the refusal as its error.
        """
        try:
            return self._write(records)
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError as error:
            if len(records) == 1:
                logger.exception("task row=%s cannot be written", records[0].id)
                return self._write([refused(records[0], error)])
            half = len(records) // 2
            return self.write(records[:half]) | self.write(records[half:])

    def stage(self, limit: int = BATCH) -> int:
        """Make due tasks ready, oldest first; return how many."""
        with self._cursor() as cursor:
            return self._statements.stage(cursor, limit)

    def next_due(self) -> timedelta | None:
        """Return how long until a scheduled task is due, None without any."""
        first = self._value(
            "SELECT run_at FROM errands_task WHERE state = %s ORDER BY run_at LIMIT 1",
            [TaskState.SCHEDULED],
        )
        due_at = self._statements.instant(first)
        return None if due_at is None else max(due_at - timezone.now(), timedelta())

    def is_drained(self, selection: Selection) -> bool:
        """Return whether nothing of the selection is ready, due or running."""
        names = selection.names
        queues = "" if names is None else f"queue IN ({_places(names)}) AND"
        now = self._statements.value(timezone.now())
        low, high = _ranks(selection)
        return (
            self._value(
                f"SELECT 1 FROM errands_task WHERE {queues} rank BETWEEN %s AND %s "
                f"AND (state IN ({TaskState.READY:d}, {TaskState.RUNNING:d}) "
                f"OR state = {TaskState.SCHEDULED:d} AND run_at <= %s) LIMIT 1",
                [*(names or ()), low, high, now],
            )
            is None
        )

    def held_by(self, worker: str, limit: int = BATCH) -> list[Claim]:
        """Return what a worker holds."""
        with self._cursor() as cursor:
            return self._statements.running(cursor, worker, limit)

    def holders(self) -> set[str]:
        """Return the ids of all workers that hold a task."""
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT worker FROM errands_task WHERE state = %s",
                [TaskState.RUNNING],
            )
            return {row[0] for row in cursor.fetchall()}

    def prune(self, limit: int = BATCH) -> int:
        """Delete a batch of results that are older than the site keeps them."""
        deleted = 0
        for status in ResultStatus:
            succeeded = status == ResultStatus.SUCCEEDED
            keep = settings().keep_succeeded if succeeded else settings().keep_failed
            with self._cursor() as cursor:
                before = timezone.now() - keep
                deleted += self._statements.prune(
                    cursor, status, before=before, limit=limit
                )
        return deleted

    def _write(self, records: Sequence[Record]) -> set[int]:
        finished = [record for record in records if isinstance(record, Finish)]
        requeued = [record for record in records if isinstance(record, Requeue)]
        done: set[int] = set()
        is_one_statement = not (finished and requeued)
        with self._transaction(only_one=is_one_statement), self._cursor() as cursor:
            if finished:
                done |= self._statements.finish(cursor, finished)
            if requeued:
                done |= self._statements.requeue(cursor, requeued)
        missing = [record for record in finished if record.id not in done]
        return done | self._settled_before(missing) if missing else done

    def _transaction(self, *, only_one: bool) -> AbstractContextManager[Any]:
        if only_one and self._connection.vendor == "postgresql":
            return nullcontext()
        return atomic(using=self.alias)

    def _settled_before(self, missing: Sequence[Finish]) -> set[int]:
        """Return those a lost answer hides: they are results under our token."""
        tokens = {record.id: record.token for record in missing}
        with self._cursor() as cursor:
            cursor.execute(
                f"SELECT id, token FROM errands_result WHERE id IN ({_places(tokens)})",
                list(tokens),
            )
            found = cursor.fetchall()
        return {row_id for row_id, token in found if tokens[row_id] == token}

    def _value(self, sql: str, params: Sequence[Any]) -> Any:
        with self._cursor() as cursor:
            cursor.execute(sql, params)
            row = cursor.fetchone()
        return row[0] if row else None

    def _cursor(self) -> CursorWrapper:
        return self._connection.cursor()

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def _statements(self) -> Statements:
        return statements_for(self._connection)
