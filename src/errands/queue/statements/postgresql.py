"""The queue on PostgreSQL 15 and later.

Records travel as one JSON parameter, which costs one quoting whatever their
number; ``SKIP LOCKED`` lets claimers pass each other; claiming and settling
are one statement each, so they cost one round trip and one commit.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.backends.utils import CursorWrapper

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

RETURNING = ", ".join(f"t.{column}" for column in CLAIM_COLUMNS.split(", "))
MOVED = ", ".join(f"gone.{column}" for column in SHARED_COLUMNS.split(", "))

INSERT_MANY = """
INSERT INTO errands_task (uuid, queue, rank, path, enqueued_at, run_at, max_attempts,
    state, payload, attempt, crashes, releases, token, errors, worker_ids)
SELECT (call->>0)::uuid, %s, %s, %s, %s, %s, %s, %s, call->>1, 0, 0, 0, 0, '[]', '[]'
FROM json_array_elements(%s::json) WITH ORDINALITY AS calls(call, position)
ORDER BY position
"""

CLAIM = """
WITH wanted AS MATERIALIZED (
    SELECT id FROM errands_task
    WHERE state = {ready:d} {queue} AND rank BETWEEN %s AND %s
    ORDER BY rank, id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE errands_task t SET state = {running:d}, token = t.token + 1,
    attempt = t.attempt + 1, worker = %s, claimed_at = statement_timestamp()
FROM wanted WHERE t.id = wanted.id
RETURNING {returning}
"""

FINISH = """
WITH record AS (
    SELECT (r->>0)::bigint AS id, (r->>1)::int AS token, (r->>2)::smallint AS status,
        (r->>3)::int AS attempt, (r->>4)::smallint AS crashes, r->>5 AS errors,
        r->>6 AS worker_ids, r->>7 AS return_value,
        (r->>8)::timestamp AT TIME ZONE 'UTC' AS started_at,
        (r->>9)::timestamp AT TIME ZONE 'UTC' AS finished_at
    FROM json_array_elements(%s::json) AS records(r)
), gone AS (
    DELETE FROM errands_task t USING record
    WHERE t.id = record.id AND t.token = record.token AND t.state = {running:d}
    RETURNING t.*
)
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    return_value, started_at, finished_at, {shared})
SELECT record.*, {moved} FROM gone JOIN record ON record.id = gone.id
RETURNING id
"""

REQUEUE = """
UPDATE errands_task t SET state = record.state, run_at = record.run_at,
    attempt = record.attempt, crashes = record.crashes, releases = record.releases,
    errors = record.errors, worker_ids = record.worker_ids,
    started_at = record.started_at, worker = NULL
FROM (
    SELECT (r->>0)::bigint AS id, (r->>1)::int AS token, (r->>2)::smallint AS state,
        (r->>3)::timestamp AT TIME ZONE 'UTC' AS run_at, (r->>4)::int AS attempt,
        (r->>5)::smallint AS crashes, (r->>6)::smallint AS releases, r->>7 AS errors,
        r->>8 AS worker_ids, (r->>9)::timestamp AT TIME ZONE 'UTC' AS started_at
    FROM json_array_elements(%s::json) AS records(r)
) AS record
WHERE t.id = record.id AND t.token = record.token AND t.state = {running:d}
RETURNING t.id
"""

STAGE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id IN (
    SELECT id FROM errands_task
    WHERE state = {TaskState.SCHEDULED:d} AND run_at <= statement_timestamp()
    ORDER BY run_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""

CANCEL = f"""
WITH gone AS (
    DELETE FROM errands_task WHERE uuid = %s
    AND state IN ({TaskState.SCHEDULED:d}, {TaskState.READY:d}) RETURNING *
)
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    started_at, finished_at, {SHARED_COLUMNS})
SELECT id, token, {ResultStatus.CANCELLED:d}, attempt, crashes, %s, worker_ids,
    started_at, statement_timestamp(), {SHARED_COLUMNS} FROM gone
"""

PRUNE = """
DELETE FROM errands_result WHERE id IN (
    SELECT id FROM errands_result WHERE status = %s AND finished_at < %s
    ORDER BY finished_at LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


class PostgreSQLStatements(Statements):
    """The queue's SQL for PostgreSQL."""

    _in_queue = CLAIM.format(
        ready=TaskState.READY,
        running=TaskState.RUNNING,
        queue="AND queue = %s",
        returning=RETURNING,
    )
    _in_any_queue = CLAIM.format(
        ready=TaskState.READY, running=TaskState.RUNNING, queue="", returning=RETURNING
    )
    _finish = FINISH.format(running=TaskState.RUNNING, shared=SHARED_COLUMNS, moved=MOVED)
    _requeue = REQUEUE.format(running=TaskState.RUNNING)

    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return the value itself: psycopg takes it."""
        return value

    def insert_many(
        self,
        cursor: CursorWrapper,
        row: Sequence[Parameter],
        calls: list[tuple[UUID, str]],
    ) -> None:
        """Insert one row per call, in one statement."""
        wire = json.dumps([(str(uuid), payload) for uuid, payload in calls])
        cursor.execute(INSERT_MANY, [*row, wire])

    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> list[Claim]:
        """Take ready rows, passing over those another claimer has locked."""
        sql = self._in_any_queue if wanted.queue is None else self._in_queue
        queue: list[Parameter] = [] if wanted.queue is None else [wanted.queue]
        ranks = [wanted.min_rank, wanted.max_rank]
        cursor.execute(sql, [*queue, *ranks, wanted.limit, wanted.worker])
        return self.claims(cursor.fetchall())

    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Move running rows to the results; return the ids moved."""
        cursor.execute(self._finish, [dumped(records)])
        return {row[0] for row in cursor.fetchall()}

    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again; return their ids."""
        cursor.execute(self._requeue, [dumped(records)])
        return {row[0] for row in cursor.fetchall()}

    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; return how many."""
        cursor.execute(STAGE, [limit])
        return int(cursor.rowcount)

    def cancel(self, cursor: CursorWrapper, uuid: UUID, errors: str) -> bool:
        """Move a row that has not been claimed to the results, as cancelled."""
        cursor.execute(CANCEL, [uuid, errors])
        return bool(cursor.rowcount == 1)

    def prune(
        self,
        cursor: CursorWrapper,
        status: ResultStatus,
        *,
        before: datetime,
        limit: int,
    ) -> int:
        """Delete results of a status that ended before an instant."""
        cursor.execute(PRUNE, [status, before, limit])
        return int(cursor.rowcount)
