"""The queue on MariaDB 10.11 and MySQL 8.4, and later ones.

Whoever locks rows locks them by primary key, in its order, after the locks of
keys; rows found through another index are taken with ``SKIP LOCKED``, which
waits for nobody. So two transactions of ours do not wait for each other in a
circle. What is left to InnoDB is its locks on the gaps of unique indexes, and
at levels above READ COMMITTED on all others; a transaction that it picks as the
victim is run again (``colliding``).

Neither has an UPDATE that returns rows on both servers: rows are locked, then
read or written. Instants are UTC, and those of the database's clock.
"""

from binascii import crc32
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic

from errands.queue.claims import Claim
from errands.queue.records import Finish, Requeue
from errands.queue.statements.interface import VALUES_AT_ONCE, WITHDRAW, Statements
from errands.queue.statements.mysql import settling
from errands.queue.statements.mysql.gate import alone
from errands.queue.statements.mysql.inserting import insert_many, seemingly_free
from errands.queue.statements.mysql.packets import (
    SMALL,
    check_size,
    packet_size,
)
from errands.queue.statements.mysql.settling import BY_ID
from errands.queue.statements.rows import (
    ATTEMPT,
    CLAIM_COLUMNS,
    CLAIMED_AT,
    ID,
    KEY,
    TOKEN,
    CallRow,
    Candidate,
    Claimed,
    ClaimFilter,
    Parameter,
    Row,
    Withdrawal,
    places,
    stored_instant,
    utc_text,
)
from errands.queue.statements.slots import BLOCKED_INDEX, count_free, first_blocked
from errands.queue.states import ResultStatus, TaskState

LOCKS = 1024
"""How many rows ``errands_lock`` has, and keys are spread over."""

# A deadlock; a lock not got in time; MariaDB: changed since the snapshot; a deadlock
# over the lock of ids, which an INSERT … SELECT holds (innodb_autoinc_lock_mode 1).
COLLISIONS = {1213, 1205, 1020, 1467}

CLOCK = "UTC_TIMESTAMP(6)"

READY = (
    f"FORCE INDEX ({{index}}) WHERE state = {TaskState.READY:d} {{queue}} "
    "AND precedence BETWEEN %s AND %s"
)
IN_ORDER = "ORDER BY precedence, id LIMIT %s"
LOOK = "SELECT COUNT(*), MIN(precedence), MIN(id) FROM ({}) AS found"
NOT_BEFORE = "AND (precedence = %s AND id >= %s OR precedence > %s AND precedence <= %s)"
LOCKING = "FOR UPDATE SKIP LOCKED"

TAKE = f"""
UPDATE {BY_ID} SET state = {TaskState.RUNNING:d}, token = token + 1,
    attempt = attempt + 1, worker = %s, claimed_at = %s, slot = {{slot}}
WHERE id IN ({{ids}})
"""

SET_STATE = f"UPDATE {BY_ID} SET state = {{state:d}} WHERE id IN ({{ids}})"
LOCK = (
    "SELECT number FROM errands_lock WHERE number IN ({ids}) ORDER BY number FOR UPDATE"
)
MAKE_LOCKS = "INSERT IGNORE INTO errands_lock (number) VALUES ({ids})"

BY_BLOCKED = f"FORCE INDEX ({BLOCKED_INDEX})"
FREE = f"SELECT {count_free('%s', by_index=BY_BLOCKED)}"
FIRST_BLOCKED = first_blocked("id", "%s", limit="%s", by_index=BY_BLOCKED)

DUE = f"""
SELECT id FROM errands_task FORCE INDEX (errands_task_scheduled)
WHERE state = {TaskState.SCHEDULED:d} AND run_at <= {CLOCK}
ORDER BY run_at LIMIT %s
"""

OLD = """
SELECT id FROM errands_result WHERE status = %s AND finished_at < %s
    AND expires_at IS NULL ORDER BY finished_at LIMIT %s
"""
EXPIRED = f"""
SELECT id FROM errands_result WHERE expires_at <= {CLOCK}
ORDER BY expires_at LIMIT %s
"""


class MySQLStatements(Statements):
    """The queue's SQL for MariaDB and MySQL."""

    clock, later = CLOCK, f"{CLOCK} + INTERVAL (%s * 1000000) MICROSECOND"
    values_of_state, of_index = VALUES_AT_ONCE, "FORCE INDEX ({})"
    insert_into, unless_taken = "INSERT IGNORE INTO", ""

    def has_collided(self, error: Exception) -> bool:
        """Return whether another transaction was in the way of this one."""
        return bool(error.args) and error.args[0] in COLLISIONS

    def value(self, value: UUID | datetime | None) -> Parameter:
        """Return the value as Django's MySQL backend stores it."""
        if isinstance(value, UUID):
            return value.hex
        return utc_text(value) if isinstance(value, datetime) else value

    def instant(self, stored: Any) -> datetime | None:
        """Return a timestamp as an aware instant."""
        return stored_instant(stored)

    def insert_one(
        self, cursor: CursorWrapper, row: Sequence[Parameter], call: CallRow
    ) -> bool:
        """Insert one row; ``ArgumentError`` for a call no packet can carry."""
        if len(call.payload) > SMALL:
            check_size(call.payload, packet_size(cursor))
        if call.unique_key is None:
            return super().insert_one(cursor, row, call)
        if not seemingly_free(cursor, [call]):
            return False
        with alone(cursor, call.unique_key):
            return super().insert_one(cursor, row, call)

    def insert_many(
        self, cursor: CursorWrapper, row: Sequence[Parameter], calls: Sequence[CallRow]
    ) -> None:
        """Insert one row per call, in as few statements as packets allow."""
        insert_many(cursor, row, calls)

    def claim(self, cursor: CursorWrapper, wanted: ClaimFilter) -> Claimed:
        """Take ready rows; without any, no transaction is begun.

        While a snapshot is old, all that was claimed leaves its entries in the index. To
        lock walks over them too, ten times as slowly as a read: so that says where to
        begin, and how many rows there are, for behind the last one lie more of them.
        """
        ready, chosen = _ready(wanted), wanted.chosen
        rows_ahead = f"SELECT precedence, id FROM errands_task {ready} {IN_ORDER}"
        cursor.execute(LOOK.format(rows_ahead), [*chosen, wanted.limit])
        count, rank, row_id = cursor.fetchone()
        if not count:
            return Claimed([], [])
        with atomic(using=cursor.db.alias):
            cursor.execute(
                f"SELECT {CLAIM_COLUMNS}, {self.clock} FROM errands_task {ready} "
                f"{NOT_BEFORE} {IN_ORDER} {LOCKING}",
                [*chosen, rank, row_id, rank, wanted.max_rank, count],
            )
            rows = cursor.fetchall()
            free = [row for row in rows if row[KEY] is None]
            claims = self._take(cursor, wanted.worker, free)
        keyed = [(row[ID], row[KEY]) for row in rows if row[KEY] is not None]
        return Claimed(claims, keyed)

    def lock_keys(self, cursor: CursorWrapper, keys: Iterable[str]) -> None:
        """Lock the rows of ``errands_lock`` that stand for the keys, in order."""
        numbers = sorted({crc32(key.encode()) % LOCKS for key in keys})
        cursor.execute(LOCK.format(ids=places(numbers)), numbers)
        if len(cursor.fetchall()) < len(numbers):
            rows = "), (".join(["%s"] * len(numbers))
            cursor.execute(MAKE_LOCKS.format(ids=rows), numbers)
            cursor.execute(LOCK.format(ids=places(numbers)), numbers)

    def candidates(self, cursor: CursorWrapper, ids: Sequence[int]) -> list[Candidate]:
        """Return those rows that are still ready, unless they are locked."""
        cursor.execute(
            f"SELECT id, concurrency_key, concurrency_limit FROM {BY_ID} "
            f"WHERE id IN ({places(ids)}) AND state = {TaskState.READY:d} "
            f"ORDER BY precedence, id {LOCKING}",
            list(ids),
        )
        return [Candidate(*row) for row in cursor.fetchall()]

    def start(
        self, cursor: CursorWrapper, worker: str, slots: Mapping[int, int]
    ) -> list[Claim]:
        """Take ready rows for an attempt, each with its slot."""
        cursor.execute(
            f"SELECT {CLAIM_COLUMNS}, {self.clock} FROM {BY_ID} "
            f"WHERE id IN ({places(slots)}) AND state = {TaskState.READY:d} FOR UPDATE",
            sorted(slots),
        )
        return self._take(cursor, worker, cursor.fetchall(), slots=slots)

    def block(
        self, cursor: CursorWrapper, taken: Mapping[str, int], wanted: ClaimFilter
    ) -> int:
        """Block the rows of full keys among the first ready ones."""
        cursor.execute(
            "SELECT id, concurrency_key, concurrency_limit FROM errands_task "
            f"{_ready(wanted)} {IN_ORDER}",
            [*wanted.chosen, wanted.limit],
        )
        full = [
            row_id
            for row_id, key, limit in cursor.fetchall()
            if key in taken and limit <= taken[key]
        ]
        still_ready = [row.id for row in self.candidates(cursor, full)] if full else []
        return _set_state(cursor, TaskState.BLOCKED, still_ready)

    def promote(self, cursor: CursorWrapper, keys: Iterable[str]) -> int:
        """Make blocked rows ready, one for each free slot of their key."""
        return sum(self._promote(cursor, key) for key in keys)

    def finish(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Lock running rows, copy them to the results, then delete them."""
        return settling.finish(cursor, records)

    def drop(self, cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
        """Lock running rows, then delete them."""
        return settling.drop(cursor, records)

    def requeue(self, cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
        """Lock running rows, then make them claimable again."""
        return settling.requeue(cursor, records)

    def stage(self, cursor: CursorWrapper, limit: int) -> int:
        """Make due scheduled rows ready; with none due, lock nothing."""
        cursor.execute(DUE, [1])
        if cursor.fetchone() is None:
            return 0
        with atomic(using=cursor.db.alias):
            cursor.execute(f"{DUE} {LOCKING}", [limit])
            return _set_state(cursor, TaskState.READY, _ids(cursor))

    def withdraw(self, cursor: CursorWrapper, uuid: UUID, ended: Withdrawal) -> bool:
        """Move a row that is not running to the results; lock none that is."""
        waits = f"token = %s AND state <> {TaskState.RUNNING:d}"
        cursor.execute(
            f"SELECT id FROM errands_task WHERE uuid = %s AND {waits}",
            [uuid.hex, ended.token],
        )
        found = _ids(cursor)
        if not found:
            return False
        cursor.execute(
            f"SELECT id FROM {BY_ID} WHERE id = %s AND {waits} FOR UPDATE",
            [*found, ended.token],
        )
        if cursor.fetchone() is None:
            return False
        copy = f"{WITHDRAW} errands_task WHERE id = %s"
        cursor.execute(copy, [*self.ending(ended), *found])
        settling.delete(cursor, found)
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
        return _forget(cursor, OLD, [status, self.value(before), limit])

    def prune_expired(self, cursor: CursorWrapper, limit: int) -> int:
        """Delete results whose ``expires_at`` is over."""
        return _forget(cursor, EXPIRED, [limit])

    def _take(
        self,
        cursor: CursorWrapper,
        worker: str,
        rows: Sequence[Row],
        *,
        slots: Mapping[int, int] | None = None,
    ) -> list[Claim]:
        """Write rows that are locked as taken; return them as they are then."""
        if not rows:
            return []
        ids, now = sorted(row[ID] for row in rows), self.value(self.instant(rows[0][-1]))
        cases = [value for row_id in ids for value in (row_id, (slots or {}).get(row_id))]
        slot = f"CASE id {'WHEN %s THEN %s ' * len(ids)} END" if slots else "NULL"
        sql = TAKE.format(slot=slot, ids=places(ids))
        cursor.execute(sql, [worker, now, *(cases if slots else ()), *ids])
        return self.claims([_taken(row) for row in rows])

    def _promote(self, cursor: CursorWrapper, key: str) -> int:
        cursor.execute(FREE, [key, key])
        free = cursor.fetchone()[0] or 0
        if free < 1:
            return 0
        cursor.execute(f"{FIRST_BLOCKED} {LOCKING}", [key, free])
        return _set_state(cursor, TaskState.READY, _ids(cursor))


def _taken(row: Row) -> Row:
    taken = list(row)
    taken[TOKEN] += 1
    taken[ATTEMPT] += 1
    taken[CLAIMED_AT] = taken.pop()
    return tuple(taken)


def _ready(wanted: ClaimFilter) -> str:
    """Return the condition for ready rows; ``ClaimFilter.chosen`` has its values."""
    index = "errands_task_ready" + ("" if wanted.queue is None else "_in_queue")
    return READY.format(index=index, queue=wanted.of_queue)


def _forget(cursor: CursorWrapper, sql: str, values: Sequence[Parameter]) -> int:
    """Delete the results that a query finds; begin nothing where there are none."""
    cursor.execute(sql, [*values[:-1], 1])
    if cursor.fetchone() is None:
        return 0
    with atomic(using=cursor.db.alias):
        cursor.execute(f"{sql} {LOCKING}", values)
        ids = sorted(_ids(cursor))
        settling.delete(cursor, ids, table="errands_result")
    return len(ids)


def _set_state(cursor: CursorWrapper, state: TaskState, ids: Sequence[int]) -> int:
    if ids:
        sql = SET_STATE.format(state=state, ids=places(ids))
        cursor.execute(sql, sorted(ids))
    return len(ids)


def _ids(cursor: CursorWrapper) -> list[int]:
    return [row[0] for row in cursor.fetchall()]
