"""Settling on MariaDB and MySQL: rows are locked, then moved, dropped or written."""

import json
from collections.abc import Iterable, Sequence

from django.db.backends.utils import CursorWrapper

from errands.queue.records import FINISH_COLUMNS, REQUEUE_COLUMNS, Finish, Requeue
from errands.queue.statements.mysql.packets import SMALL, packet_size, parts_of
from errands.queue.statements.rows import SHARED_COLUMNS, dumped, of_table, places
from errands.queue.states import TaskState

BY_ID = "errands_task FORCE INDEX (PRIMARY)"

HELD = f"""
SELECT id, token, started_at IS NOT NULL FROM {BY_ID}
WHERE id IN ({{ids}}) AND state = {TaskState.RUNNING:d} FOR UPDATE
"""

TYPES = {
    "id": "BIGINT",
    "status": "SMALLINT",
    "state": "SMALLINT",
    "attempt": "INT",
    "crashes": "SMALLINT",
    "releases": "SMALLINT",
    "run_at": "DATETIME(6)",
    "started_at": "DATETIME(6)",
    "finished_at": "DATETIME(6)",
    "expires_at": "DATETIME(6)",
}
"""Those of columns that are no text."""
# What decides which rows are locked, and is not written.
LOCKED_BY = {"token", "unless_started"}


def _listed(columns: Sequence[str]) -> str:
    """Return a JSON parameter as rows: a list that has a list of columns for each."""
    read = [
        f"{name} {TYPES.get(name, 'LONGTEXT')} PATH '$[{at}]'"
        for at, name in enumerate(columns)
        if name not in LOCKED_BY
    ]
    return f"JSON_TABLE(%s, '$[*]' COLUMNS ({', '.join(read)}))"


FINISH = f"""
INSERT INTO errands_result (id, token, status, attempt, crashes, errors, worker_ids,
    return_value, started_at, finished_at, metadata, expires_at, {SHARED_COLUMNS})
SELECT t.id, t.token, r.status, r.attempt, r.crashes, r.errors, r.worker_ids,
    r.return_value, COALESCE(r.started_at, t.started_at), r.finished_at,
    COALESCE(r.metadata, t.metadata), r.expires_at,
    {of_table("t", SHARED_COLUMNS)}
FROM {_listed(FINISH_COLUMNS)} AS r
STRAIGHT_JOIN errands_task AS t FORCE INDEX (PRIMARY) ON t.id = r.id
"""

REQUEUE = f"""
UPDATE {_listed(REQUEUE_COLUMNS)} AS r
STRAIGHT_JOIN errands_task AS t FORCE INDEX (PRIMARY) ON t.id = r.id
SET t.run_at = r.run_at, t.attempt = r.attempt, t.crashes = r.crashes,
    t.state = IF(t.cancel_requested_at IS NULL, r.state, {TaskState.READY:d}),
    t.releases = r.releases, t.errors = r.errors, t.worker_ids = r.worker_ids,
    t.started_at = r.started_at, t.metadata = COALESCE(r.metadata, t.metadata),
    t.worker = NULL, t.slot = NULL
"""

# Told the ids as a list, both servers read, and so lock, all rows of a small table,
# and wait for whoever has enqueued one that is not committed.
DELETE = """
DELETE t FROM JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$')) AS r
STRAIGHT_JOIN {table} AS t FORCE INDEX (PRIMARY) ON t.id = r.id
"""


def finish(cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
    """Copy running rows to the results, then delete them; return their ids."""
    held = _held(cursor, records)
    for wire in _wires(cursor, held):
        cursor.execute(FINISH, [wire])
    return delete(cursor, [record.id for record in held])


def drop(cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
    """Delete running rows; return their ids."""
    return delete(cursor, [record.id for record in _held(cursor, records)])


def requeue(cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
    """Make running rows claimable again; return their ids."""
    held = _held(cursor, records)
    for wire in _wires(cursor, held):
        cursor.execute(REQUEUE, [wire])
    return {record.id for record in held}


def delete(
    cursor: CursorWrapper, ids: Sequence[int], *, table: str = "errands_task"
) -> set[int]:
    """Delete rows that are locked; return their ids."""
    if ids:
        cursor.execute(DELETE.format(table=table), [json.dumps(ids)])
    return set(ids)


def _held[R: (Finish, Requeue)](cursor: CursorWrapper, records: Sequence[R]) -> list[R]:
    """Lock the rows of records; return those that took hold, by id."""
    ids = sorted({record.id for record in records})
    cursor.execute(HELD.format(ids=places(ids)), ids)
    tokens = {row_id: (token, started) for row_id, token, started in cursor.fetchall()}
    held = []
    for record in sorted(records, key=lambda record: record.id):
        token, has_started = tokens.get(record.id, (None, False))
        is_kept = has_started and getattr(record, "unless_started", False)
        if token == record.token and not is_kept:
            held.append(record)
    return held


def _wires(
    cursor: CursorWrapper, records: Sequence[Finish] | Sequence[Requeue]
) -> Iterable[str]:
    """Return records as JSON; the server is asked what it takes where they are large."""
    if not records:
        return []
    wire = dumped(records)
    return [wire] if len(wire) <= SMALL else parts_of(records, packet_size(cursor))
