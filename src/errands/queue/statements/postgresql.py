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
from errands.queue.statements.cursors import open_cursor
from errands.queue.statements.interface import ONE_ROW, Statements
from errands.queue.statements.planned import Planned
from errands.queue.statements.rows import (
    CALL_COLUMNS,
    CLAIM_COLUMNS,
    ENCODER,
    INSERT_COLUMNS,
    IS_READY,
    IS_RUNNING,
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
)
from errands.queue.states import ResultStatus, TaskState

NAMES = CLAIM_COLUMNS.split(", ")
RETURNING = ", ".join(f"t.{name}" for name in NAMES)
LEFT = {"id", "concurrency_key"}
KEYED = ", ".join(name if name in LEFT else "NULL" for name in NAMES)
DELETED = ", ".join(f"t.{column}" for column in SHARED_COLUMNS.split(", "))
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

PROMOTE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id = ANY(ARRAY(
    SELECT first.id FROM json_array_elements_text(%s::json) AS wanted(key)
    CROSS JOIN LATERAL (
        SELECT count(*) AS taken FROM errands_task
        WHERE concurrency_key = wanted.key AND slot IS NOT NULL
    ) AS slots
    CROSS JOIN LATERAL (
        SELECT id FROM errands_task
        WHERE state = {TaskState.BLOCKED:d} AND concurrency_key = wanted.key
            AND queue NOT IN (SELECT name FROM errands_queue)
        ORDER BY precedence, id
        LIMIT greatest(0, (
            SELECT concurrency_limit FROM errands_task
            WHERE state = {TaskState.BLOCKED:d} AND concurrency_key = wanted.key
                AND queue NOT IN (SELECT name FROM errands_queue)
            ORDER BY precedence, id LIMIT 1
        ) - slots.taken)
        FOR UPDATE SKIP LOCKED
    ) AS first
))
"""

# What is written of a ``Finish``.
COLUMNS = (
    "id bigint, token int, status smallint, attempt int, crashes smallint, "
    "errors text, worker_ids text, return_value text, started_at timestamptz, "
    "finished_at timestamptz, metadata text, expires_at timestamptz"
)
FINISHED = dict(column.split() for column in COLUMNS.split(", "))
INSTANTS = [place for place, name in enumerate(FINISHED) if name.endswith("_at")]
LISTS = ", ".join(["json_array_elements_text(%s::json)"] * len(FINISHED))
ENDED = ", ".join(
    f"coalesce(given.{name}, %s)::{kind} AS {name}" for name, kind in FINISHED.items()
)

# A column at a time: of a list of rows, the server reads each row for each column.
# Nearly all of a batch have most values in common: those come once.
FINISH = Planned(
    "finish",
    f"""
WITH gone AS (
    DELETE FROM errands_task t
    USING (
        SELECT {ENDED} FROM ROWS FROM ({LISTS}) AS given({", ".join(FINISHED)})
    ) AS record
    WHERE t.id = record.id AND t.token = record.token AND t.{IS_RUNNING}
    RETURNING {DELETED}, t.started_at AS first_started_at, t.metadata AS old_metadata,
        record.*
)
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    return_value, started_at, finished_at, expires_at, metadata, {SHARED_COLUMNS})
SELECT id, token, status, attempt, crashes, errors, worker_ids, return_value,
    coalesce(started_at, first_started_at), finished_at, expires_at,
    coalesce(metadata, old_metadata), {SHARED_COLUMNS}
FROM gone
RETURNING id
""",
)

DROP = Planned(
    "drop",
    f"""
DELETE FROM errands_task t
USING (
    SELECT id::bigint, token::int FROM ROWS FROM (
        json_array_elements_text(%s::json), json_array_elements_text(%s::json)
    ) AS given(id, token)
) AS record
WHERE t.id = record.id AND t.token = record.token AND t.{IS_RUNNING}
RETURNING t.id
""",
)

REQUEUE = f"""
UPDATE errands_task t SET run_at = record.run_at, attempt = record.attempt,
    state = CASE WHEN t.cancel_requested_at IS NULL THEN record.state
                 ELSE {TaskState.READY:d} END,
    crashes = record.crashes, releases = record.releases, errors = record.errors,
    worker_ids = record.worker_ids, started_at = record.started_at,
    metadata = coalesce(record.metadata, t.metadata), worker = NULL, slot = NULL
FROM (
    SELECT (r->>0)::bigint AS id, (r->>1)::int AS token, (r->>2)::smallint AS state,
        (r->>3)::timestamp AT TIME ZONE 'UTC' AS run_at, (r->>4)::int AS attempt,
        (r->>5)::smallint AS crashes, (r->>6)::smallint AS releases, r->>7 AS errors,
        r->>8 AS worker_ids, (r->>9)::timestamp AT TIME ZONE 'UTC' AS started_at,
        r->>10 AS metadata, (r->>11)::boolean AS unless_started
    FROM json_array_elements(%s::json) AS records(r)
) AS record
WHERE t.id = record.id AND t.token = record.token AND t.{IS_RUNNING}
    AND NOT (record.unless_started AND t.started_at IS NOT NULL)
RETURNING t.id
"""

STAGE = f"""
UPDATE errands_task SET state = {TaskState.READY:d} WHERE id = ANY(ARRAY(
    SELECT id FROM errands_task
    WHERE state = {TaskState.SCHEDULED:d} AND run_at <= statement_timestamp()
    ORDER BY run_at LIMIT {FEW} FOR UPDATE SKIP LOCKED
))
"""

WITHDRAW = f"""
WITH gone AS (
    DELETE FROM errands_task
    WHERE uuid = %s AND token = %s AND state <> {TaskState.RUNNING:d}
    RETURNING *
)
INSERT INTO errands_result (id, token, attempt, crashes, worker_ids, started_at,
    metadata, status, errors, finished_at, expires_at, {SHARED_COLUMNS})
SELECT id, token, attempt, crashes, worker_ids, started_at, metadata,
    %s, %s, %s, %s, {SHARED_COLUMNS} FROM gone
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
        wires = [_column(values) for values in zip(*calls, strict=True)]
        cursor.execute(statement, [*row, *wires])

    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> Claimed:
        """Take ready rows, passing over those another claimer has locked."""
        claim = CLAIM_FROM_ANY if wanted.queue is None else CLAIM_FROM_ONE
        queue: list[Parameter] = [] if wanted.queue is None else [wanted.queue]
        ranks = [wanted.min_rank, wanted.after_id, wanted.max_rank]
        values = [*queue, *ranks, wanted.limit, wanted.worker]
        cursor.execute(claim, values)
        rows = cursor.fetchall()
        taken = [row for row in rows if row[1] is not None]
        keyed = [(row[0], row[17]) for row in rows if row[1] is None]
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
        queue = "" if wanted.queue is None else "AND queue = %s"
        parameters = [json.dumps(list(taken.items())), *_selected(wanted), wanted.limit]
        cursor.execute(BLOCK.format(queue=queue), parameters)
        return int(cursor.rowcount)

    def promote(self, cursor: CursorWrapper, keys: Iterable[str]) -> int:
        """Make blocked rows ready, one for each free slot of their key."""
        cursor.execute(PROMOTE, [json.dumps(list(keys))])
        return int(cursor.rowcount)

    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Move running rows to the results; return the ids moved."""
        columns: list[Any] = [*zip(*records, strict=True)][: len(FINISHED)]
        for place in INSTANTS:
            # One by one, the encoder would call Python for them.
            columns[place] = [value and value.isoformat() for value in columns[place]]
        # The ids say how many there are.
        common = [None, *map(_in_common, columns[1:])]
        lists = [
            _column(values if text is None else ())
            for text, values in zip(common, columns, strict=True)
        ]
        values: list[Parameter] = [*common, *lists]
        cursor.execute(FINISH, values)
        return {row[0] for row in cursor.fetchall()}

    def drop(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Delete running rows; return their ids."""
        ids, tokens = zip(*[(each.id, each.token) for each in records], strict=True)
        cursor.execute(DROP, [_column(ids), _column(tokens)])
        return {row[0] for row in cursor.fetchall()}

    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again; return their ids."""
        cursor.execute(REQUEUE, [dumped(records)])
        return {row[0] for row in cursor.fetchall()}

    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; return how many."""
        cursor.execute(STAGE, [limit])
        return int(cursor.rowcount)

    def withdraw(self, cursor: CursorWrapper, uuid: UUID, ended: Withdrawal) -> bool:
        """Move a row that is not running to the results."""
        instants = ended.finished_at, ended.expires_at
        written = [ended.status, ended.errors, *instants]
        cursor.execute(WITHDRAW, [uuid, ended.token, *written])
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


def _column(values: Sequence[Parameter]) -> str:
    """Return the values of one column as JSON; one that is all NULL is empty."""
    is_empty = None in values[:1] and values.count(None) == len(values)
    return ENCODER.encode([] if is_empty else values)


def _in_common(values: Sequence[Parameter]) -> str | None:
    """Return what all rows of a column have; None where they differ, or it is NULL."""
    first = values[0]
    if first is None or values.count(first) < len(values):
        return None
    return str(first)


def _selected(wanted: ClaimFilter) -> list[Parameter]:
    queue: list[Parameter] = [] if wanted.queue is None else [wanted.queue]
    return [*queue, wanted.min_rank, wanted.max_rank]


def _lock_number(key: str) -> int:
    """Return the lock of a key: a number that nobody else's locks have by chance."""
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=8, person=b"errands")
    return int.from_bytes(digest.digest(), signed=True)
