"""Settling on PostgreSQL: one statement for all that ended, or goes on, in one way."""

from collections.abc import Sequence
from typing import Any

from django.db.backends.utils import CursorWrapper

from errands.instants import microseconds
from errands.queue.records import FINISH_COLUMNS, REQUEUE_COLUMNS, Finish, Requeue
from errands.queue.statements.postgresql.planned import Planned
from errands.queue.statements.rows import (
    ENCODER,
    IS_RUNNING,
    SHARED_COLUMNS,
    Parameter,
    dumped,
    of_table,
)
from errands.queue.states import TaskState

TYPES = {
    "id": "bigint",
    "token": "int",
    "status": "smallint",
    "state": "smallint",
    "attempt": "int",
    "crashes": "smallint",
    "releases": "smallint",
    "run_at": "timestamptz",
    "started_at": "timestamptz",
    "finished_at": "timestamptz",
    "expires_at": "timestamptz",
    "unless_started": "boolean",
}
"""Those of columns that are no text."""

INSTANTS = [at for at, name in enumerate(FINISH_COLUMNS) if name.endswith("_at")]
LISTS = ", ".join(["json_array_elements_text(%s::json)"] * len(FINISH_COLUMNS))


def _ended(name: str) -> str:
    """Return how a column is read of the lists; instants are microseconds.

    As text they would take the longest of all columns, to write and to read.
    """
    given, kind = f"coalesce(given.{name}, %s)", TYPES.get(name, "text")
    if kind == "timestamptz":
        instant = f"timestamptz 'epoch' + {given}::bigint * interval '1 microsecond'"
        return f"{instant} AS {name}"
    return f"{given}::{kind} AS {name}"


ENDED = ", ".join(map(_ended, FINISH_COLUMNS))


def _requeued(at: int, name: str) -> str:
    """Return how a column is read of the list that is a record."""
    kind = TYPES.get(name, "text")
    if kind == "timestamptz":
        return f"(r->>{at})::timestamp AT TIME ZONE 'UTC' AS {name}"
    return f"(r->>{at})::{kind} AS {name}"


REQUEUED = ", ".join(_requeued(at, name) for at, name in enumerate(REQUEUE_COLUMNS))

# A column at a time: of a list of rows, the server reads each row for each column.
# Nearly all of a batch have most values in common: those come once.
FINISH = Planned(
    "finish",
    f"""
WITH gone AS (
    DELETE FROM errands_task t
    USING (
        SELECT {ENDED} FROM ROWS FROM ({LISTS}) AS given({", ".join(FINISH_COLUMNS)})
    ) AS record
    WHERE t.id = record.id AND t.token = record.token AND t.{IS_RUNNING}
    RETURNING {of_table("t", SHARED_COLUMNS)}, t.started_at AS first_started_at,
        t.metadata AS old_metadata, record.*
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
    SELECT {REQUEUED} FROM json_array_elements(%s::json) AS records(r)
) AS record
WHERE t.id = record.id AND t.token = record.token AND t.{IS_RUNNING}
    AND NOT (record.unless_started AND t.started_at IS NOT NULL)
RETURNING t.id
"""


def finish(cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
    """Move running rows to the results; return the ids moved."""
    columns: list[Any] = [*zip(*records, strict=True)][: len(FINISH_COLUMNS)]
    for at in INSTANTS:
        columns[at] = [value and microseconds(value) for value in columns[at]]
    # The ids say how many there are.
    common = [None, *map(_in_common, columns[1:])]
    lists = [
        column(values if text is None else ())
        for text, values in zip(common, columns, strict=True)
    ]
    values: list[Parameter] = [*common, *lists]
    cursor.execute(FINISH, values)
    return {row[0] for row in cursor.fetchall()}


def drop(cursor: CursorWrapper, records: Sequence[Finish]) -> set[int]:
    """Delete running rows; return their ids."""
    ids, tokens = zip(*[(each.id, each.token) for each in records], strict=True)
    cursor.execute(DROP, [column(ids), column(tokens)])
    return {row[0] for row in cursor.fetchall()}


def requeue(cursor: CursorWrapper, records: Sequence[Requeue]) -> set[int]:
    """Make running rows claimable again; return their ids."""
    cursor.execute(REQUEUE, [dumped(records)])
    return {row[0] for row in cursor.fetchall()}


def column(values: Sequence[Parameter]) -> str:
    """Return the values of one column as JSON; one that is all NULL is empty."""
    is_empty = None in values[:1] and values.count(None) == len(values)
    return ENCODER.encode([] if is_empty else values)


def _in_common(values: Sequence[Parameter]) -> str | None:
    """Return what all rows of a column have; None where they differ, or it is NULL."""
    first = values[0]
    if first is None or values.count(first) < len(values):
        return None
    return str(first)
