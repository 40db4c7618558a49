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

from errands.queue.claims import Claim
from errands.queue.records import FINISH_COLUMNS, REQUEUE_COLUMNS, Finish, Requeue
from errands.queue.statements.interface import WITHDRAW, Statements
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
    of_table,
    places,
    stored_instant,
    utc_text,
)
from errands.queue.statements.slots import count_free, first_blocked
from errands.queue.states import ResultStatus, TaskState


def _listed(*columns: str) -> str:
    """Return a JSON parameter as rows: a list that has a list of columns for each."""
    values = [
        f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(columns)
    ]
    return f"(SELECT key AS position, {', '.join(values)} FROM json_each(%s))"


INSERT_MANY = f"""
errands_task ({CALL_COLUMNS}, {INSERT_COLUMNS}, {ZEROED_COLUMNS})
SELECT {CALL_COLUMNS}, {places(INSERT_COLUMNS.split(", "))}, {ZEROES}
FROM {_listed(*CALL_COLUMNS.split(", "))} WHERE true ORDER BY position
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
{TAKE}, slot = given.free FROM {_listed("id", "free")} AS given
WHERE errands_task.id = given.id AND errands_task.state = {TaskState.READY:d}
RETURNING {of_table("errands_task", CLAIM_COLUMNS)}
"""

BLOCK = f"""
UPDATE errands_task SET state = {TaskState.BLOCKED:d}
FROM {_listed("key", "slots")} AS taken
WHERE concurrency_key = taken.key AND concurrency_limit <= taken.slots
    AND errands_task.id IN (SELECT id {READY} {{queue}} {IN_ORDER})
"""

PROMOTE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id IN (
    {first_blocked("id", "%s", limit=f"max(0, coalesce({count_free('%s')}, 0))")}
)
"""

FINISH = f"""
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    return_value, started_at, finished_at, metadata, expires_at, {SHARED_COLUMNS})
SELECT t.id, t.token, r.status, r.attempt, r.crashes, r.errors, r.worker_ids,
    r.return_value, coalesce(r.started_at, t.started_at), r.finished_at,
    coalesce(r.metadata, t.metadata), r.expires_at, {of_table("t", SHARED_COLUMNS)}
FROM {_listed(*FINISH_COLUMNS)} AS r
    JOIN errands_task AS t ON t.id = r.id AND t.token = r.token
WHERE t.state = {TaskState.RUNNING:d}
RETURNING id
"""

DELETE = "DELETE FROM errands_task WHERE id IN (SELECT value FROM json_each(%s))"

DROP = f"""
DELETE FROM errands_task WHERE (id, token) IN (
    SELECT id, token FROM {_listed("id", "token")}
) AND state = {TaskState.RUNNING:d}
RETURNING id
"""

REQUEUE = f"""
UPDATE errands_task SET run_at = r.run_at, attempt = r.attempt,
    state = CASE WHEN cancel_requested_at IS NULL THEN r.state
                 ELSE {TaskState.READY:d} END,
    crashes = r.crashes, releases = r.releases, errors = r.errors,
    worker_ids = r.worker_ids, started_at = r.started_at,
    metadata = coalesce(r.metadata, errands_task.metadata),
    worker = NULL, slot = NULL
FROM {_listed(*REQUEUE_COLUMNS)} AS r
WHERE errands_task.id = r.id AND errands_task.token = r.token
    AND errands_task.state = {TaskState.RUNNING:d}
    AND NOT (r.unless_started AND errands_task.started_at IS NOT NULL)
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
    clock = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
    later = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')"

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
        look = f"SELECT id, concurrency_key {READY} {wanted.of_queue} {IN_ORDER}"
        cursor.execute(look, [*wanted.chosen, 1])
        if cursor.fetchone() is None:
            return Claimed([], [])
        now = self.now()
        chosen = [*wanted.chosen, wanted.limit]
        claim = CLAIM.format(queue=wanted.of_queue)
        cursor.execute(claim, [wanted.worker, now, *chosen])
        rows = cursor.fetchall()
        if len(rows) == wanted.limit:
            return Claimed(self.claims(rows), [])
        cursor.execute(look, [*wanted.chosen, wanted.limit - len(rows)])
        keyed = [(row_id, key) for row_id, key in cursor.fetchall() if key is not None]
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
        now = self.now()
        cursor.execute(START, [worker, now, json.dumps(list(slots.items()))])
        return self.claims(cursor.fetchall())

    def block(
        self, cursor: CursorWrapper, taken: Mapping[str, int], wanted: ClaimFilter
    ) -> int:
        """Block the rows of full keys among the first ready ones."""
        full = json.dumps(list(taken.items()))
        values = [full, *wanted.chosen, wanted.limit]
        cursor.execute(BLOCK.format(queue=wanted.of_queue), values)
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
        now = self.now()
        cursor.execute(f"{DUE} LIMIT 1", [now])
        if cursor.fetchone() is None:
            return 0
        cursor.execute(STAGE, [now, limit])
        return int(cursor.rowcount)

    def withdraw(self, cursor: CursorWrapper, uuid: UUID, ended: Withdrawal) -> bool:
        """Move a row that is not running to the results."""
        waiting: list[Parameter] = [uuid.hex, ended.token]
        copy = f"{WITHDRAW} errands_task WHERE {WAITING}"
        cursor.execute(copy, [*self.ending(ended), *waiting])
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
        cursor.execute(PRUNE_EXPIRED, [self.now(), limit])
        return int(cursor.rowcount)

    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp as an aware instant."""
        return stored_instant(stored)
