"""What each database must answer, and the SQL all of them share.

Every statement that leaves the state ``running`` names the row's token, so
that what a zombie writes matches nothing. ``cursor`` is one of Django's; the
caller owns the transaction. Where a method is said to be *under the locks* of
keys, the caller has called ``lock_keys`` in the same transaction before.

Many records or calls travel as one JSON parameter. What SQL is the same on
every database is written where it is used, in the rooms above.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import batched
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from errands import instants
from errands.queue.claims import Claim
from errands.queue.records import Finish, Requeue
from errands.queue.statements.rows import (
    CALL_COLUMNS,
    CLAIM_COLUMNS,
    ID,
    INSERT_COLUMNS,
    RANK,
    SHARED_COLUMNS,
    ZEROED_COLUMNS,
    ZEROES,
    CallRow,
    Candidate,
    Claimed,
    ClaimFilter,
    Parameter,
    Row,
    StoredResult,
    Withdrawal,
    as_uuid,
    places,
    stored_errors,
    stored_metadata,
    stored_names,
)
from errands.queue.states import ResultStatus, TaskState

READ_AT_ONCE = 500

GIVEN_COLUMNS = f"{CALL_COLUMNS}, {INSERT_COLUMNS}"
ONE_ROW = (
    f"errands_task ({GIVEN_COLUMNS}, {ZEROED_COLUMNS}) "
    f"VALUES ({places(GIVEN_COLUMNS.split(', '))}, {ZEROES})"
)
STORED = """
SELECT uuid, path, payload, queue, precedence, run_at, enqueued_at, started_at,
    claimed_at, NULL, errors, worker_ids, worker, state, NULL, NULL, NULL,
    concurrency_key, token
FROM errands_task WHERE uuid IN (?)
UNION ALL
SELECT uuid, path, payload, queue, precedence, run_at, enqueued_at, started_at,
    claimed_at, finished_at, errors, worker_ids, NULL, NULL, status, return_value,
    expires_at, concurrency_key, token
FROM errands_result WHERE uuid IN (?)
"""

# One step down the index for each value, however many rows have it.
VALUES_BY_STEPS = """
WITH RECURSIVE found(value) AS (
    SELECT MIN({column}) FROM errands_task WHERE state = {state:d}
    UNION ALL
    SELECT (SELECT MIN(t.{column}) FROM errands_task t
            WHERE t.state = {state:d} AND t.{column} > found.value)
    FROM found WHERE found.value IS NOT NULL
)
"""

# Where each step would read all rows of the state, as on MySQL.
VALUES_AT_ONCE = """
WITH found(value) AS (
    SELECT DISTINCT {column} FROM errands_task FORCE INDEX ({index})
    WHERE state = {state:d}
)
"""


# How a row that waits becomes a result; ``Statements.ending`` has the values.
WITHDRAW = f"""
INSERT INTO errands_result (id, token, attempt, crashes, worker_ids, started_at,
    metadata, status, errors, finished_at, expires_at, {SHARED_COLUMNS})
SELECT id, token, attempt, crashes, worker_ids, started_at, metadata,
    %s, %s, %s, %s, {SHARED_COLUMNS} FROM
"""


class Statements(ABC):
    """The queue's SQL for one database."""

    keeps_dead_entries = False
    """Whether claims walk over what others have claimed while a snapshot is old."""
    moves_at_once = False
    """Whether ``finish``, ``drop`` and ``requeue`` are one statement each."""
    clock = "statement_timestamp()"
    """The database's own time, as an instant that ``instant`` reads.

    In a statement with values, if only an empty list of them.
    """
    later = "statement_timestamp() + %s * interval '1 second'"
    """The same so many seconds later."""
    values_of_state = VALUES_BY_STEPS
    """``found (value)``: the values of a column that leads the index of a state."""
    of_index = ""
    """What follows a table to be read by an index, where a planner has to be told."""
    locking = "FOR UPDATE SKIP LOCKED"
    """What ends a SELECT of rows to be written, past those that others have locked."""
    insert_into, unless_taken = "INSERT INTO", "ON CONFLICT DO NOTHING"
    """What stands around an INSERT that leaves out rows a unique index refuses.

    Waits for a transaction that holds the same key and has not ended.
    """

    def cursor(self, connection: BaseDatabaseWrapper) -> CursorWrapper:
        """Return a cursor for these statements."""
        return connection.cursor()

    def has_collided(self, error: Exception) -> bool:
        """Return whether another transaction was in the way of this one.

        Such a transaction was rolled back, and may be run again.
        """
        del error
        return False

    def limit_silence(self, cursor: CursorWrapper, silence: timedelta) -> None:
        """Let the server end this transaction when its client is silent for so long.

        Does nothing where the database has no such limit.
        """
        del cursor, silence

    def was_silent(self, error: Exception) -> bool:
        """Return whether the server has ended a transaction for being silent."""
        del error
        return False

    @abstractmethod
    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return a value as this database's cursor takes it."""

    def now(self) -> Parameter:
        """Return this host's time as a value."""
        return self.value(instants.now())

    def insert_one(
        self, cursor: CursorWrapper, row: Sequence[Parameter], call: CallRow
    ) -> bool:
        """Insert one row; ``row`` is its ``INSERT_COLUMNS``.

        False where it was left out, since its unique key is taken, as in
        ``insert_many``.
        """
        statement = f"INSERT INTO {ONE_ROW}"
        if call.unique_key is not None:
            statement = f"{self.insert_into} {ONE_ROW} {self.unless_taken}"
        cursor.execute(statement, (*call, *row))
        return bool(cursor.rowcount)

    @abstractmethod
    def insert_many(
        self, cursor: CursorWrapper, row: Sequence[Parameter], calls: Sequence[CallRow]
    ) -> None:
        """Insert one row per call, with ids in their order.

        Calls whose unique key is live are left out; who wants to know which
        asks afterwards. Two transactions with the same keys in different
        orders must not end in a deadlock.
        """

    @abstractmethod
    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> Claimed:
        """Take ready rows for an attempt: raise token and attempt.

        Looks at the first ``limit`` of the selection, by rank and id, that
        nobody else is claiming. Rows with a concurrency key are not taken but
        returned, with the key, for ``start``.
        """

    @abstractmethod
    def lock_keys(self, cursor: CursorWrapper, keys: Iterable[str]) -> None:
        """Lock concurrency keys until the transaction ends, in one order for all.

        What is read afterwards must see what the last holder committed. Locking
        a key again is allowed. Two keys may share a lock.
        """

    @abstractmethod
    def candidates(self, cursor: CursorWrapper, ids: Sequence[int]) -> list[Candidate]:
        """Return and lock those rows that are still ready, by rank and id.

        Under the locks of their keys.
        """

    @abstractmethod
    def start(
        self, cursor: CursorWrapper, worker: str, slots: Mapping[int, int]
    ) -> list[Claim]:
        """Take ready rows for an attempt, each with its slot.

        Under the locks of their keys, and after ``candidates``.
        """

    @abstractmethod
    def block(
        self, cursor: CursorWrapper, taken: Mapping[str, int], wanted: ClaimFilter
    ) -> int:
        """Block the rows of full keys among the first ready ones; return how many.

        Looks at as many rows of the selection as ``wanted`` says. A row is
        blocked when no more slots than are taken of its key are its limit.
        Under the locks of the keys.
        """

    @abstractmethod
    def promote(self, cursor: CursorWrapper, keys: Iterable[str]) -> int:
        """Make the first blocked rows of each key ready: one for each free slot.

        Free are the limit of its first blocked row minus its slots taken. Rows
        of paused queues stay blocked. Under the locks of the keys.
        """

    @abstractmethod
    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Move running rows to the results; return the ids moved.

        Metadata and ``started_at`` that a record does not have are the row's.
        """

    @abstractmethod
    def drop(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Delete running rows, of which no result is kept; return their ids."""

    @abstractmethod
    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Make running rows claimable again, without a slot; return their ids.

        One whose cancel was requested becomes ready at once, so that the next
        attempt ends it. Rows with ``started_at`` are left alone by a record
        with ``unless_started``.
        """

    @abstractmethod
    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; return how many."""

    @abstractmethod
    def withdraw(self, cursor: CursorWrapper, uuid: UUID, ended: Withdrawal) -> bool:
        """Move a row that does not run to the results; False where there is none.

        Nor where an attempt has been made since it was read.
        """

    @abstractmethod
    def prune(
        self,
        cursor: CursorWrapper,
        status: ResultStatus,
        *,
        before: datetime,
        limit: int,
    ) -> int:
        """Delete results of a status that ended before an instant.

        Not those that have an ``expires_at``.
        """

    @abstractmethod
    def prune_expired(self, cursor: CursorWrapper, limit: int) -> int:
        """Delete results whose ``expires_at`` is over."""

    def running(self, cursor: CursorWrapper, worker: str, limit: int) -> list[Claim]:
        """Return what a worker holds, without taking it."""
        cursor.execute(
            f"SELECT {CLAIM_COLUMNS} FROM errands_task "
            f"WHERE state = {TaskState.RUNNING:d} AND worker = %s ORDER BY id LIMIT %s",
            [worker, limit],
        )
        return self.claims(cursor.fetchall())

    def read(
        self, cursor: CursorWrapper, uuids: Sequence[UUID]
    ) -> dict[UUID, StoredResult]:
        """Return tasks from whichever table holds them.

        One statement reads both, so a task that is moved meanwhile is found. What has
        expired is too.
        """
        found: dict[UUID, StoredResult] = {}
        for some in batched(map(self.value, uuids), READ_AT_ONCE):
            cursor.execute(STORED.replace("?", places(some)), some * 2)
            for row in cursor.fetchall():
                stored = self._stored(row)
                found[stored.uuid] = stored
        return found

    def ending(self, ended: Withdrawal) -> list[Parameter]:
        """Return the values that ``WITHDRAW`` writes."""
        times = self.value(ended.finished_at), self.value(ended.expires_at)
        return [ended.status, ended.errors, *times]

    def _stored(self, row: Row) -> StoredResult:
        """Read a row of ``STORED``."""
        uuid, path, payload, queue, rank, run_at, enqueued_at, started_at = row[:8]
        claimed_at, finished_at, errors, names, worker, state, status = row[8:15]
        return_value, expires_at, key, token = row[15:]
        instant = self.instant
        return StoredResult(
            uuid=as_uuid(uuid),
            path=path,
            payload=payload,
            queue=queue,
            rank=rank,
            run_at=instant(run_at),
            enqueued_at=instant(enqueued_at),  # type: ignore[arg-type]
            started_at=instant(started_at),
            claimed_at=instant(claimed_at),
            finished_at=instant(finished_at),
            errors=stored_errors(errors),
            worker_ids=stored_names(names) + ([worker] if worker else []),
            state=state,
            status=status,
            return_value=return_value,
            expires_at=instant(expires_at),
            concurrency_key=key,
            token=token,
        )

    def claims(self, rows: Sequence[Row]) -> list[Claim]:
        """Return rows of ``CLAIM_COLUMNS`` in the order they should run."""
        ordered = sorted(rows, key=itemgetter(RANK, ID))
        return [self._claim(row) for row in ordered]

    @abstractmethod
    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp, as the driver tells it, as an aware instant."""

    def _claim(self, row: Row) -> Claim:
        """Read a row of ``CLAIM_COLUMNS``, which are in the order of Claim's fields."""
        row_id, uuid, token, path, payload, queue, rank, attempt, most = row[:9]
        crashes, releases, enqueued_at, run_at, started_at, claimed_at = row[9:15]
        errors, names, metadata, key, at_most_once, cancel_requested_at = row[15:]
        instant = self.instant
        # By position: by name takes twice as long. What is empty, as nearly always, is
        # not read.
        return Claim(
            row_id,
            as_uuid(uuid),
            token,
            path,
            payload,
            queue,
            -rank,
            attempt,
            most,
            crashes,
            releases,
            instant(enqueued_at),  # type: ignore[arg-type]
            None if run_at is None else instant(run_at),
            None if started_at is None else instant(started_at),
            instant(claimed_at),
            [] if errors == "[]" else stored_errors(errors),
            [] if names == "[]" else stored_names(names),
            {} if metadata == "{}" else stored_metadata(metadata),
            key,
            bool(at_most_once),
            cancel_requested_at is not None,
        )
