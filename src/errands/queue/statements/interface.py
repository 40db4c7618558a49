"""What each database must answer, and the SQL all of them share.

Every statement that leaves the state ``running`` names the row's token, so
that what a zombie writes matches nothing. ``cursor`` is one of Django's; the
caller owns the transaction.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from errands.queue.claims import Claim, Payload
from errands.queue.records import Finish, Requeue
from errands.queue.results import StoredResult
from errands.queue.states import ResultStatus, TaskState

type Row = tuple[Any, ...]
type Parameter = int | str | datetime | UUID | None

SHARED_COLUMNS = (
    "uuid, queue, rank, path, payload, enqueued_at, run_at, claimed_at, max_attempts"
)
CLAIM_COLUMNS = (
    "id, uuid, token, path, payload, queue, rank, attempt, max_attempts, crashes, "
    "releases, enqueued_at, run_at, started_at, claimed_at, errors, worker_ids"
)


FIELDS_OF = {
    kind: attrgetter(*(field.name for field in fields(kind)))
    for kind in (Finish, Requeue)
}


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """One claim: the queue (None: any), the range of ranks, and how many."""

    worker: str
    limit: int
    queue: str | None
    min_rank: int
    max_rank: int


class Statements(ABC):
    """The queue's SQL for one database."""

    insert = (
        "INSERT INTO errands_task (uuid, payload, queue, rank, path, enqueued_at, "
        "run_at, max_attempts, state, attempt, crashes, releases, token, errors, "
        "worker_ids) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, 0, 0, 0, '[]', '[]')"
    )
    stored = (
        "SELECT uuid, path, payload, queue, rank, run_at, enqueued_at, started_at, "
        "claimed_at, NULL, errors, worker_ids, worker, state, NULL, NULL "
        "FROM errands_task WHERE uuid = %s UNION ALL "
        "SELECT uuid, path, payload, queue, rank, run_at, enqueued_at, started_at, "
        "claimed_at, finished_at, errors, worker_ids, NULL, NULL, status, return_value "
        "FROM errands_result WHERE uuid = %s"
    )

    @abstractmethod
    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return a value as this database's cursor takes it."""

    def insert_one(
        self, cursor: CursorWrapper, row: Sequence[Parameter], call: tuple[UUID, str]
    ) -> None:
        """Insert one row; ``row`` has what ``INSERT`` names after the payload."""
        uuid, payload = call
        cursor.execute(self.insert, [self.value(uuid), payload, *row])

    @abstractmethod
    def insert_many(
        self,
        cursor: CursorWrapper,
        row: Sequence[Parameter],
        calls: list[tuple[UUID, str]],
    ) -> None:
        """Insert one row per call, in one statement."""

    @abstractmethod
    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> list[Claim]:
        """Take ready rows for an attempt: raise token and attempt, in one statement."""

    @abstractmethod
    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Move running rows to the results; return the ids moved."""

    @abstractmethod
    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again; return their ids."""

    @abstractmethod
    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; return how many."""

    @abstractmethod
    def cancel(self, cursor: CursorWrapper, uuid: UUID, errors: str) -> bool:
        """Move a row that has not been claimed to the results, as cancelled."""

    @abstractmethod
    def prune(
        self,
        cursor: CursorWrapper,
        status: ResultStatus,
        *,
        before: datetime,
        limit: int,
    ) -> int:
        """Delete results of a status that ended before an instant."""

    def running(self, cursor: CursorWrapper, worker: str, limit: int) -> list[Claim]:
        """Return what a worker holds, without taking it."""
        cursor.execute(
            f"SELECT {CLAIM_COLUMNS} FROM errands_task "
            f"WHERE state = {TaskState.RUNNING:d} AND worker = %s ORDER BY id LIMIT %s",
            [worker, limit],
        )
        return self.claims(cursor.fetchall())

    def read(self, cursor: CursorWrapper, uuid: UUID) -> StoredResult | None:
        """Return a task from whichever table holds it, in one statement."""
        cursor.execute(self.stored, [self.value(uuid)] * 2)
        row = cursor.fetchone()
        if row is None:
            return None
        return StoredResult(
            uuid=uuid,
            path=row[1],
            call=Payload.parse(row[2]),
            queue=row[3],
            rank=row[4],
            run_at=self.instant(row[5]),
            enqueued_at=self.instant(row[6]),  # type: ignore[arg-type]
            started_at=self.instant(row[7]),
            claimed_at=self.instant(row[8]),
            finished_at=self.instant(row[9]),
            errors=loaded(row[10]),
            worker_ids=loaded(row[11]) + ([row[12]] if row[12] else []),
            state=row[13],
            status=row[14],
            return_value=row[15],
        )

    def claims(self, rows: Sequence[Row]) -> list[Claim]:
        """Return rows of ``CLAIM_COLUMNS`` in the order they should run."""
        ordered = sorted(rows, key=lambda row: (row[6], row[0]))
        return [self._claim(row) for row in ordered]

    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp as the site's ``timezone.now()`` is: aware or naive."""
        return stored  # type: ignore[no-any-return]

    def _claim(self, row: Row) -> Claim:
        instant = self.instant
        return Claim(
            id=row[0],
            uuid=row[1] if isinstance(row[1], UUID) else UUID(row[1]),
            token=row[2],
            path=row[3],
            payload=row[4],
            queue=row[5],
            priority=-row[6],
            attempt=row[7],
            max_attempts=row[8],
            crashes=row[9],
            releases=row[10],
            enqueued_at=instant(row[11]),  # type: ignore[arg-type]
            run_at=instant(row[12]),
            started_at=instant(row[13]),
            claimed_at=instant(row[14]),
            errors=loaded(row[15]),
            worker_ids=loaded(row[16]),
        )


def loaded(text: str) -> list[Any]:
    """Read a stored JSON list; one that is malformed reads as empty."""
    if text == "[]":
        return []
    try:
        stored = json.loads(text)
    except ValueError:
        return []
    return stored if isinstance(stored, list) else []


def dumped(records: Sequence[Finish] | Sequence[Requeue]) -> str:
    """Return records as one JSON parameter: a list of lists of their fields."""
    as_list = FIELDS_OF[type(records[0])]
    return json.dumps([as_list(record) for record in records], default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    raise TypeError(f"{value!r} is not part of a record")
