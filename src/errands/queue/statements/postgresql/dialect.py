"""The queue on PostgreSQL 15 and later.

Records travel as one JSON parameter, which costs one quoting whatever their
number; ``SKIP LOCKED`` lets claimers pass each other; claiming and settling
are one statement each, so they cost one round trip and one commit.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from errands.instants import from_site
from errands.queue.claims import Claim
from errands.queue.records import Finish, Requeue
from errands.queue.statements.interface import ONE_ROW, WITHDRAW, Statements
from errands.queue.statements.postgresql import settling
from errands.queue.statements.postgresql.cursors import open_cursor
from errands.queue.statements.postgresql.planned import Planned
from errands.queue.statements.postgresql.settling import column
from errands.queue.statements.rows import (
    CALL_COLUMNS,
    CLAIM_COLUMNS,
    ID,
    INSERT_COLUMNS,
    IS_READY,
    KEY,
    TOKEN,
    ZEROED_COLUMNS,
    ZEROES,
    CallRow,
    Candidate,
    Claimed,
    ClaimFilter,
    Parameter,
    Withdrawal,
    of_table,
)
from errands.queue.statements.slots import count_free, first_blocked
from errands.queue.states import ResultStatus, TaskState

RETURNING = of_table("t", CLAIM_COLUMNS)
# Of a row that is not taken, as it has a key.
KEPT = {"id", "concurrency_key"}
KEYED = ", ".join(name if name in KEPT else "NULL" for name in CLAIM_COLUMNS.split(", "))
TYPES = "text smallint text int int boolean timestamptz timestamptz smallint text"
SHARED_VALUES = ", ".join(f"%s::{kind}" for kind in TYPES.split())

# One JSON parameter for each column of calls; an empty one is NULL in every row.
CALLS = f"""
SELECT {{id}} uuid::uuid AS uuid, payload, unique_key, concurrency_key, {SHARED_VALUES},
    {ZEROES}
FROM ROWS FROM ({", ".join(["json_array_elements_text(%s::json)"] * 4)})
    WITH ORDINALITY AS calls(uuid, payload, unique_key, concurrency_key, position)
ORDER BY position
"""

INSERT_ONE = Planned("insert", f"INSERT INTO {ONE_ROW}")
INSERT_ONE_UNLESS_LIVE = Planned(
    "insert", f"INSERT INTO {ONE_ROW} ON CONFLICT DO NOTHING"
)

INSERT_MANY = f"""
INSERT INTO errands_task ({CALL_COLUMNS}, {INSERT_COLUMNS}, {ZEROED_COLUMNS})
{CALLS.format(id="")}
"""

# The ids follow the calls, the locks of the unique index follow the keys.
NEXT_ID = "nextval((SELECT pg_get_serial_sequence('errands_task', 'id')::regclass)),"

INSERT_UNLESS_LIVE = f"""
INSERT INTO errands_task (id, {CALL_COLUMNS}, {INSERT_COLUMNS}, {ZEROED_COLUMNS})
SELECT * FROM ({CALLS.format(id=NEXT_ID)}) AS calls ORDER BY unique_key
ON CONFLICT DO NOTHING
"""

# A deadlock, or what SERIALIZABLE refuses.
COLLISIONS = {"40P01", "40001"}

SILENT = "25P03"
# For this transaction alone, so it is safe behind a pooler.
LIMIT_SILENCE = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"

TAKE = f"""
UPDATE errands_task t SET state = {TaskState.RUNNING:d}, token = t.token + 1,
    attempt = t.attempt + 1, worker = %s, claimed_at = statement_timestamp()
"""

# A limit that the planner cannot read makes it look for the first rows, through the
# index. With what it guesses of a table that has just been filled it would rather
# sort all that is ready, for each claim. Of so many rows as it expects then it would
# rather look for their ids in all of a table than in its index, but for an array.
FEW = "(SELECT %s::bigint)"

CLAIM = f"""
WITH wanted AS MATERIALIZED (
    SELECT id, concurrency_key FROM errands_task
    WHERE state = {TaskState.READY:d} {{queue}}
    AND (precedence, id) > (%s, %s) AND precedence <= %s
    ORDER BY precedence, id LIMIT {FEW} FOR UPDATE SKIP LOCKED
), taken AS (
    {TAKE} FROM wanted WHERE t.id = wanted.id AND wanted.concurrency_key IS NULL
    RETURNING {RETURNING}
)
SELECT * FROM taken
UNION ALL SELECT {KEYED} FROM wanted WHERE concurrency_key IS NOT NULL
"""
CLAIM_FROM_ANY = Planned("claim", CLAIM.format(queue=""))
CLAIM_FROM_ONE = Planned("claim", CLAIM.format(queue="AND queue = %s"))

LOCK = "SELECT pg_advisory_xact_lock(number) FROM unnest(%s::bigint[]) AS locks(number)"

CANDIDATES = f"""
SELECT id, concurrency_key, concurrency_limit FROM errands_task
WHERE id = ANY(%s) AND {IS_READY}
ORDER BY precedence, id FOR UPDATE SKIP LOCKED
"""

START = f"""
{TAKE}, slot = given.slot
FROM (SELECT (s->>0)::bigint AS id, (s->>1)::int AS slot
      FROM json_array_elements(%s::json) AS slots(s)) AS given
WHERE t.id = given.id AND t.{IS_READY}
RETURNING {RETURNING}
"""

BLOCK = f"""
UPDATE errands_task SET state = {TaskState.BLOCKED:d} WHERE id = ANY(ARRAY(
    SELECT t.id FROM errands_task t
    JOIN json_array_elements(%s::json) AS taken(key)
        ON t.concurrency_key = key->>0 AND t.concurrency_limit <= (key->>1)::int
    WHERE t.state = {TaskState.READY:d} AND t.id = ANY(ARRAY(
        SELECT id FROM errands_task
        WHERE state = {TaskState.READY:d} {{queue}} AND precedence BETWEEN %s AND %s
        ORDER BY precedence, id LIMIT {FEW}))
    FOR UPDATE OF t SKIP LOCKED
))
"""

# More may run than the first one that waits allows; a negative limit is an error.
FREE = f"greatest(0, {count_free('wanted.key')})"

PROMOTE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id = ANY(ARRAY(
    SELECT first.id FROM json_array_elements_text(%s::json) AS wanted(key)
    CROSS JOIN LATERAL (
        {first_blocked("id", "wanted.key", limit=FREE)} FOR UPDATE SKIP LOCKED
    ) AS first
))
"""

STAGE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id = ANY(ARRAY(
    SELECT id FROM errands_task
    WHERE state = {TaskState.SCHEDULED:d} AND run_at <= statement_timestamp()
    ORDER BY run_at LIMIT {FEW} FOR UPDATE SKIP LOCKED
))
"""

END_WAITING = f"""
WITH gone AS (
    DELETE FROM errands_task
    WHERE uuid = %s AND token = %s AND state <> {TaskState.RUNNING:d}
    RETURNING *
)
{WITHDRAW} gone
"""

PRUNE = f"""
DELETE FROM errands_result WHERE id = ANY(ARRAY(
    SELECT id FROM errands_result WHERE {{condition}}
    ORDER BY {{instant}} LIMIT {FEW} FOR UPDATE SKIP LOCKED
))
"""

PRUNE_OLD = PRUNE.format(
    condition="status = %s AND finished_at < %s AND expires_at IS NULL",
    instant="finished_at",
)
PRUNE_EXPIRED = PRUNE.format(
    condition="expires_at <= statement_timestamp()", instant="expires_at"
)


class PostgreSQLStatements(Statements):
    """The queue's SQL for PostgreSQL."""

    keeps_dead_entries = True
    moves_at_once = True

    def cursor(self, connection: BaseDatabaseWrapper) -> CursorWrapper:
        """Return a cursor that plans what is ``Planned``."""
        return open_cursor(connection)

    def has_collided(self, error: Exception) -> bool:
        """Return whether another transaction was in the way of this one."""
        return getattr(error.__cause__, "sqlstate", None) in COLLISIONS

    def limit_silence(self, cursor: CursorWrapper, silence: timedelta) -> None:
        """Let the server end this transaction when its client is silent for so long."""
        milliseconds = round(silence / timedelta(milliseconds=1))
        cursor.execute(LIMIT_SILENCE, [str(milliseconds)])

    def was_silent(self, error: Exception) -> bool:
        """Return whether the server has ended a transaction for being silent."""
        return getattr(error.__cause__, "sqlstate", None) == SILENT

    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return the value itself: psycopg takes it."""
        return value

    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp as an aware instant; Django may have made it the site's."""
        is_aware = stored is None or stored.tzinfo is not None
        return stored if is_aware else from_site(stored)

    def insert_one(
        self, cursor: CursorWrapper, row: Sequence[Parameter], call: CallRow
    ) -> bool:
        """Insert one row, planned."""
        if call.unique_key is None:
            cursor.execute(INSERT_ONE, [*call, *row])
            return True
        cursor.execute(INSERT_ONE_UNLESS_LIVE, [*call, *row])
        return bool(cursor.rowcount)

    def insert_many(
        self, cursor: CursorWrapper, row: Sequence[Parameter], calls: Sequence[CallRow]
    ) -> None:
        """Insert one row per call, in one statement."""
        is_unique = calls[0].unique_key is not None
        statement = INSERT_UNLESS_LIVE if is_unique else INSERT_MANY
        wires = [column(values) for values in zip(*calls, strict=True)]
        cursor.execute(statement, [*row, *wires])

    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> Claimed:
        """Take ready rows, passing over those another claimer has locked."""
        claim = CLAIM_FROM_ANY if wanted.queue is None else CLAIM_FROM_ONE
        ranks = [wanted.min_rank, wanted.after_id, wanted.max_rank]
        values = [*wanted.queues, *ranks, wanted.limit, wanted.worker]
        cursor.execute(claim, values)
        rows = cursor.fetchall()
        taken = [row for row in rows if row[TOKEN] is not None]
        keyed = [(row[ID], row[KEY]) for row in rows if row[TOKEN] is None]
        return Claimed(self.claims(taken), keyed)

    def lock_keys(self, cursor: CursorWrapper, keys: Iterable[str]) -> None:
        """Take one advisory lock per key, in the order of their numbers."""
        cursor.execute(LOCK, [sorted({_lock_number(key) for key in keys})])

    def candidates(self, cursor: CursorWrapper, ids: Sequence[int]) -> list[Candidate]:
        """Return those rows that are still ready, unless they are locked."""
        cursor.execute(CANDIDATES, [list(ids)])
        return [Candidate(*row) for row in cursor.fetchall()]

    def start(
        self, cursor: CursorWrapper, worker: str, slots: Mapping[int, int]
    ) -> list[Claim]:
        """Take ready rows for an attempt, each with its slot."""
        cursor.execute(START, [worker, json.dumps(list(slots.items()))])
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
        cursor.execute(PROMOTE, [json.dumps(list(keys))])
        return int(cursor.rowcount)

    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Move running rows to the results, in one statement."""
        return settling.finish(cursor, records)

    def drop(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Delete running rows, in one statement."""
        return settling.drop(cursor, records)

    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again, in one statement."""
        return settling.requeue(cursor, records)

    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; return how many."""
        cursor.execute(STAGE, [limit])
        return int(cursor.rowcount)

    def withdraw(self, cursor: CursorWrapper, uuid: UUID, ended: Withdrawal) -> bool:
        """Move a row that is not running to the results."""
        cursor.execute(END_WAITING, [uuid, ended.token, *self.ending(ended)])
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
        cursor.execute(PRUNE_OLD, [status, before, limit])
        return int(cursor.rowcount)

    def prune_expired(self, cursor: CursorWrapper, limit: int) -> int:
        """Delete results whose ``expires_at`` is over."""
        cursor.execute(PRUNE_EXPIRED, [limit])
        return int(cursor.rowcount)


def _lock_number(key: str) -> int:
    """Return the lock of a key: a number that nobody else's locks have by chance."""
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, person=b"errands")
    return int.from_bytes(digest.digest(), signed=True)
