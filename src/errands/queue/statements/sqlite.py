"""The queue on SQLite 3.37 and later.

One writer at a time is SQLite's own rule, so nothing is locked here and
nothing skipped. What matters is to ask for the write lock rarely and to hold
it shortly: a claim looks before it locks, and a settle is one transaction for
all that gathered. Times are bound from this host's clock, which is the
database's.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from errands.queue.claims import Claim
from errands.queue.records import Finish, Requeue
from errands.queue.statements.interface import (
    CLAIM_COLUMNS,
    SHARED_COLUMNS,
    ClaimFilter,
    Parameter,
    Statements,
    dumped,
)
from errands.queue.states import ResultStatus, TaskState

INSERT_MANY = """
INSERT INTO errands_task (uuid, queue, rank, path, enqueued_at, run_at, max_attempts,
    state, payload, attempt, crashes, releases, token, errors, worker_ids)
SELECT json_extract(value, '$[0]'), %s, %s, %s, %s, %s, %s, %s,
    json_extract(value, '$[1]'), 0, 0, 0, 0, '[]', '[]'
FROM json_each(%s) ORDER BY key
"""

READY = f"SELECT id FROM errands_task WHERE state = {TaskState.READY:d}"

CLAIM = f"""
UPDATE errands_task SET state = {TaskState.RUNNING:d}, token = token + 1,
    attempt = attempt + 1, worker = %s, claimed_at = %s
WHERE id IN ({READY} {{queue}} AND rank BETWEEN %s AND %s ORDER BY rank, id LIMIT %s)
RETURNING {CLAIM_COLUMNS}
"""

FINISH = f"""
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    return_value, started_at, finished_at, {SHARED_COLUMNS})
SELECT t.id, t.token, json_extract(r.value, '$[2]'), json_extract(r.value, '$[3]'),
    json_extract(r.value, '$[4]'), json_extract(r.value, '$[5]'),
    json_extract(r.value, '$[6]'), json_extract(r.value, '$[7]'),
    json_extract(r.value, '$[8]'), json_extract(r.value, '$[9]'),
    {", ".join(f"t.{column}" for column in SHARED_COLUMNS.split(", "))}
FROM json_each(%s) AS r JOIN errands_task AS t
    ON t.id = json_extract(r.value, '$[0]') AND t.token = json_extract(r.value, '$[1]')
WHERE t.state = {TaskState.RUNNING:d}
RETURNING id
"""

DELETE = "DELETE FROM errands_task WHERE id IN (SELECT value FROM json_each(%s))"

REQUEUE = f"""
UPDATE errands_task SET state = json_extract(r.value, '$[2]'),
    run_at = json_extract(r.value, '$[3]'), attempt = json_extract(r.value, '$[4]'),
    crashes = json_extract(r.value, '$[5]'), releases = json_extract(r.value, '$[6]'),
    errors = json_extract(r.value, '$[7]'), worker_ids = json_extract(r.value, '$[8]'),
    started_at = json_extract(r.value, '$[9]'), worker = NULL
FROM json_each(%s) AS r
WHERE errands_task.id = json_extract(r.value, '$[0]')
    AND errands_task.token = json_extract(r.value, '$[1]')
    AND errands_task.state = {TaskState.RUNNING:d}
RETURNING id
"""

DUE = f"SELECT 1 FROM errands_task WHERE state = {TaskState.SCHEDULED:d} AND run_at <= %s"

STAGE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id IN (
    SELECT id FROM errands_task WHERE state = {TaskState.SCHEDULED:d} AND run_at <= %s
    ORDER BY run_at LIMIT %s
)
"""

WAITING = f"uuid = %s AND state IN ({TaskState.SCHEDULED:d}, {TaskState.READY:d})"

CANCEL = f"""
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    started_at, finished_at, {SHARED_COLUMNS})
SELECT id, token, {ResultStatus.CANCELLED:d}, attempt, crashes, %s, worker_ids,
    started_at, %s, {SHARED_COLUMNS} FROM errands_task WHERE {WAITING}
"""

PRUNE = """
DELETE FROM errands_result WHERE id IN (
    SELECT id FROM errands_result WHERE status = %s AND finished_at < %s
    ORDER BY finished_at LIMIT %s
)
"""


class SQLiteStatements(Statements):
    """The queue's SQL for SQLite."""

    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return the value as Django's SQLite backend stores it."""
        if isinstance(value, UUID):
            return value.hex
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
        return value

    def insert_many(
        self,
        cursor: CursorWrapper,
        row: Sequence[Parameter],
        calls: list[tuple[UUID, str]],
    ) -> None:
        """Insert one row per call, in one statement."""
        wire = json.dumps([(uuid.hex, payload) for uuid, payload in calls])
        cursor.execute(INSERT_MANY, [*row, wire])

    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> list[Claim]:
        """Take ready rows; without any, the write lock is not asked for."""
        queue = "" if wanted.queue is None else "AND queue = %s"
        matching: list[Parameter] = [] if wanted.queue is None else [wanted.queue]
        matching += [wanted.min_rank, wanted.max_rank]
        cursor.execute(f"{READY} {queue} AND rank BETWEEN %s AND %s LIMIT 1", matching)
        if cursor.fetchone() is None:
            return []
        cursor.execute(
            CLAIM.format(queue=queue),
            [wanted.worker, self.value(timezone.now()), *matching, wanted.limit],
        )
        return self.claims(cursor.fetchall())

    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Copy running rows to the results, then delete those copied."""
        cursor.execute(FINISH, [dumped(records)])
        moved = {row[0] for row in cursor.fetchall()}
        cursor.execute(DELETE, [json.dumps(list(moved))])
        return moved

    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again; return their ids."""
        cursor.execute(REQUEUE, [dumped(records)])
        return {row[0] for row in cursor.fetchall()}

    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; with none due, lock nothing."""
        now = self.value(timezone.now())
        cursor.execute(f"{DUE} LIMIT 1", [now])
        if cursor.fetchone() is None:
            return 0
        cursor.execute(STAGE, [now, limit])
        return int(cursor.rowcount)

    def cancel(self, cursor: CursorWrapper, uuid: UUID, errors: str) -> bool:
        """Move a row that has not been claimed to the results, as cancelled."""
        cursor.execute(CANCEL, [errors, self.value(timezone.now()), uuid.hex])
        if cursor.rowcount != 1:
            return False
        cursor.execute(f"DELETE FROM errands_task WHERE {WAITING}", [uuid.hex])
        return True

    def prune(
        self,
        cursor: CursorWrapper,
        status: ResultStatus,
        *,
        before: datetime,
        limit: int,
    ) -> int:
        """Delete results of a status that ended before an instant."""
        cursor.execute(PRUNE, [status, self.value(before), limit])
        return int(cursor.rowcount)

    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp as the site's ``timezone.now()`` is.

        The driver returns text, or a datetime where it knows the column.
        """
        if stored is None:
            return None
        if isinstance(stored, str):
            stored = datetime.fromisoformat(stored)
        aware: datetime = stored.replace(tzinfo=UTC)
        if settings.USE_TZ:
            return aware
        return timezone.make_naive(aware, timezone.get_default_timezone())
