"""The queue on SQLite 3.37 and later.

One writer at a time is SQLite's own rule, so nothing is locked here and
nothing skipped. What matters is to ask for the write lock rarely and to hold
it shortly: a claim looks before it locks, and a settle is one transaction for
all that gathered. Times are bound from this host's clock, which is the
database's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from errands import instants
from errands.queue.claims import Claim
from errands.queue.records import Finish, Requeue
from errands.queue.statements.interface import Statements
from errands.queue.statements.rows import (
    CALL_COLUMNS,
    CLAIM_COLUMNS,
    INSERT_COLUMNS,
    SHARED_COLUMNS,
    ZEROED_COLUMNS,
    ZEROES,
    CallRow,
    Candidate,
    Claimed,
    ClaimFilter,
    Parameter,
    Withdrawal,
    dumped,
    stored_instant,
    utc_text,
)
from errands.queue.states import ResultStatus, TaskState

SHARED_VALUES = ", ".join(["%s"] * len(INSERT_COLUMNS.split(", ")))

INSERT_MANY = f"""
errands_task ({CALL_COLUMNS}, {INSERT_COLUMNS}, {ZEROED_COLUMNS})
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
    json_extract(value, '$[2]'), json_extract(value, '$[3]'), {SHARED_VALUES}, {ZEROES}
FROM json_each(%s) WHERE true ORDER BY key
"""

READY = f"FROM errands_task WHERE state = {TaskState.READY:d}"
IN_ORDER = "AND precedence BETWEEN %s AND %s ORDER BY precedence, id LIMIT %s"

TAKE = f"""
UPDATE errands_task SET state = {TaskState.RUNNING:d}, token = token + 1,
    attempt = attempt + 1, worker = %s, claimed_at = %s
"""

CLAIM = f"""
{TAKE}
WHERE concurrency_key IS NULL AND id IN (SELECT id {READY} {{queue}} {IN_ORDER})
RETURNING {CLAIM_COLUMNS}
"""

LOCK = "UPDATE errands_task SET slot = slot WHERE false"

CANDIDATES = f"""
SELECT id, concurrency_key, concurrency_limit {READY}
AND id IN (SELECT value FROM json_each(%s)) ORDER BY precedence, id
"""

START = f"""
{TAKE}, slot = json_extract(given.value, '$[1]') FROM json_each(%s) AS given
WHERE errands_task.id = json_extract(given.value, '$[0]')
    AND errands_task.state = {TaskState.READY:d}
RETURNING {", ".join(f"errands_task.{column}" for column in CLAIM_COLUMNS.split(", "))}
"""

BLOCK = f"""
UPDATE errands_task SET state = {TaskState.BLOCKED:d} FROM json_each(%s) AS taken
WHERE errands_task.concurrency_key = json_extract(taken.value, '$[0]')
    AND errands_task.concurrency_limit <= json_extract(taken.value, '$[1]')
    AND errands_task.id IN (SELECT id {READY} {{queue}} {IN_ORDER})
"""

PROMOTE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id IN (
    SELECT id FROM errands_task
    WHERE state = {TaskState.BLOCKED:d} AND concurrency_key = %s
        AND queue NOT IN (SELECT name FROM errands_queue)
    ORDER BY precedence, id
    LIMIT max(0, coalesce((
        SELECT concurrency_limit FROM errands_task
        WHERE state = {TaskState.BLOCKED:d} AND concurrency_key = %s
            AND queue NOT IN (SELECT name FROM errands_queue)
        ORDER BY precedence, id LIMIT 1
    ), 0) - (
        SELECT count(*) FROM errands_task
        WHERE concurrency_key = %s AND slot IS NOT NULL
    ))
)
"""

FINISH = f"""
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    return_value, started_at, finished_at, metadata, expires_at, {SHARED_COLUMNS})
SELECT t.id, t.token, json_extract(r.value, '$[2]'), json_extract(r.value, '$[3]'),
    json_extract(r.value, '$[4]'), json_extract(r.value, '$[5]'),
    json_extract(r.value, '$[6]'), json_extract(r.value, '$[7]'),
    coalesce(json_extract(r.value, '$[8]'), t.started_at),
    json_extract(r.value, '$[9]'),
    coalesce(json_extract(r.value, '$[10]'), t.metadata),
    json_extract(r.value, '$[11]'),
    {", ".join(f"t.{column}" for column in SHARED_COLUMNS.split(", "))}
FROM json_each(%s) AS r JOIN errands_task AS t
    ON t.id = json_extract(r.value, '$[0]') AND t.token = json_extract(r.value, '$[1]')
WHERE t.state = {TaskState.RUNNING:d}
RETURNING id
"""

DELETE = "DELETE FROM errands_task WHERE id IN (SELECT value FROM json_each(%s))"

DROP = f"""
DELETE FROM errands_task WHERE (id, token) IN (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(%s)
) AND state = {TaskState.RUNNING:d}
RETURNING id
"""

REQUEUE = f"""
UPDATE errands_task SET run_at = json_extract(r.value, '$[3]'),
    state = CASE WHEN cancel_requested_at IS NULL THEN json_extract(r.value, '$[2]')
                 ELSE {TaskState.READY:d} END,
    attempt = json_extract(r.value, '$[4]'), crashes = json_extract(r.value, '$[5]'),
    releases = json_extract(r.value, '$[6]'), errors = json_extract(r.value, '$[7]'),
    worker_ids = json_extract(r.value, '$[8]'),
    started_at = json_extract(r.value, '$[9]'),
    metadata = coalesce(json_extract(r.value, '$[10]'), metadata),
    worker = NULL, slot = NULL
FROM json_each(%s) AS r
WHERE errands_task.id = json_extract(r.value, '$[0]')
    AND errands_task.token = json_extract(r.value, '$[1]')
    AND errands_task.state = {TaskState.RUNNING:d}
    AND NOT (json_extract(r.value, '$[11]') AND started_at IS NOT NULL)
RETURNING id
"""

DUE = f"SELECT 1 FROM errands_task WHERE state = {TaskState.SCHEDULED:d} AND run_at <= %s"

STAGE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id IN (
    SELECT id FROM errands_task WHERE state = {TaskState.SCHEDULED:d} AND run_at <= %s
    ORDER BY run_at LIMIT %s
)
"""

WAITING = f"uuid = %s AND token = %s AND state <> {TaskState.RUNNING:d}"

WITHDRAW = f"""
INSERT INTO errands_result (id, token, attempt, crashes, worker_ids, started_at,
    metadata, status, errors, finished_at, expires_at, {SHARED_COLUMNS})
SELECT id, token, attempt, crashes, worker_ids, started_at, metadata,
    %s, %s, %s, %s, {SHARED_COLUMNS} FROM errands_task WHERE {WAITING}
"""

PRUNE_OLD = """
DELETE FROM errands_result WHERE id IN (
    SELECT id FROM errands_result
    WHERE status = %s AND finished_at < %s AND expires_at IS NULL
    ORDER BY finished_at LIMIT %s
)
"""

PRUNE_EXPIRED = """
DELETE FROM errands_result WHERE id IN (
    SELECT id FROM errands_result WHERE expires_at <= %s ORDER BY expires_at LIMIT %s
)
"""


class SQLiteStatements(Statements):
    """The queue's SQL for SQLite."""

    # One transaction writes at a time.
    locking = ""
    clock = "strftime('%Y-%m-%d %H:%M:%f', 'now')"

    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return the value as Django's SQLite backend stores it."""
        if isinstance(value, UUID):
            return value.hex
        if isinstance(value, datetime):
            return utc_text(value)
        return value

    def insert_many(
        self, cursor: CursorWrapper, row: Sequence[Parameter], calls: Sequence[CallRow]
    ) -> None:
        """Insert one row per call, in one statement."""
        head, tail = "INSERT INTO", ""
        if calls[0].unique_key is not None:
            head, tail = self.insert_into, self.unless_taken
        wire = json.dumps(calls)
        cursor.execute(f"{head} {INSERT_MANY} {tail}", [*row, wire])

    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> Claimed:
        """Take ready rows; without any, the write lock is not asked for."""
        queue, chosen = _selected(wanted)
        look = f"SELECT id, concurrency_key {READY} {queue} {IN_ORDER}"
        cursor.execute(look, [*chosen[:-1], 1])
        if cursor.fetchone() is None:
            return Claimed([], [])
        now = self.value(instants.now())
        cursor.execute(CLAIM.format(queue=queue), [wanted.worker, now, *chosen])
        rows = cursor.fetchall()
        if len(rows) == wanted.limit:
            return Claimed(self.claims(rows), [])
        cursor.execute(look, [*chosen[:-1], wanted.limit - len(rows)])
        keyed = [row for row in cursor.fetchall() if row[1] is not None]
        return Claimed(self.claims(rows), keyed)

    def lock_keys(self, cursor: CursorWrapper, keys: Iterable[str]) -> None:
        """Take the write lock, which is that of every key."""
        cursor.execute(LOCK)

    def candidates(self, cursor: CursorWrapper, ids: Sequence[int]) -> list[Candidate]:
        """Return those rows that are still ready."""
        cursor.execute(CANDIDATES, [json.dumps(list(ids))])
        return [Candidate(*row) for row in cursor.fetchall()]

    def start(
        self, cursor: CursorWrapper, worker: str, slots: Mapping[int, int]
    ) -> list[Claim]:
        """Take ready rows for an attempt, each with its slot."""
        now = self.value(instants.now())
        cursor.execute(START, [worker, now, json.dumps(list(slots.items()))])
        return self.claims(cursor.fetchall())

    def block(
        self, cursor: CursorWrapper, taken: Mapping[str, int], wanted: ClaimFilter
    ) -> int:
        """Block the rows of full keys among the first ready ones."""
        queue, chosen = _selected(wanted)
        full = json.dumps(list(taken.items()))
        cursor.execute(BLOCK.format(queue=queue), [full, *chosen])
        return int(cursor.rowcount)

    def promote(self, cursor: CursorWrapper, keys: Iterable[str]) -> int:
        """Make blocked rows ready, one for each free slot of their key."""
        promoted = 0
        for key in keys:
            cursor.execute(PROMOTE, [key] * 3)
            promoted += int(cursor.rowcount)
        return promoted

    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Copy running rows to the results, then delete those copied."""
        cursor.execute(FINISH, [dumped(records)])
        moved = {row[0] for row in cursor.fetchall()}
        cursor.execute(DELETE, [json.dumps(list(moved))])
        return moved

    def drop(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Delete running rows, in one statement."""
        cursor.execute(DROP, [json.dumps([(each.id, each.token) for each in records])])
        return {row[0] for row in cursor.fetchall()}

    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again; return their ids."""
        cursor.execute(REQUEUE, [dumped(records)])
        return {row[0] for row in cursor.fetchall()}

    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; with none due, lock nothing."""
        now = self.value(instants.now())
        cursor.execute(f"{DUE} LIMIT 1", [now])
        if cursor.fetchone() is None:
            return 0
        cursor.execute(STAGE, [now, limit])
        return int(cursor.rowcount)

    def withdraw(self, cursor: CursorWrapper, uuid: UUID, ended: Withdrawal) -> bool:
        """Move a row that is not running to the results."""
        times = (self.value(ended.finished_at), self.value(ended.expires_at))
        waiting: list[Parameter] = [uuid.hex, ended.token]
        cursor.execute(WITHDRAW, [ended.status, ended.errors, *times, *waiting])
        if cursor.rowcount != 1:
            return False
        cursor.execute(f"DELETE FROM errands_task WHERE {WAITING}", waiting)
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
        cursor.execute(PRUNE_OLD, [status, self.value(before), limit])
        return int(cursor.rowcount)

    def prune_expired(self, cursor: CursorWrapper, limit: int) -> int:
        """Delete results whose ``expires_at`` is over."""
        cursor.execute(PRUNE_EXPIRED, [self.value(instants.now()), limit])
        return int(cursor.rowcount)

    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp as an aware instant."""
        return stored_instant(stored)


def _selected(wanted: ClaimFilter) -> tuple[str, list[Parameter]]:
    chosen: list[Parameter] = [wanted.min_rank, wanted.max_rank, wanted.limit]
    if wanted.queue is None:
        return "", chosen
    return "AND queue = %s", [wanted.queue, *chosen]
