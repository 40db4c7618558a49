"""Inserting many rows on MariaDB and MySQL, in as few statements as packets allow."""

from collections.abc import Sequence
from itertools import batched
from uuid import uuid4

from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic

from errands.queue.statements.mysql.packets import packet_size, wires_of
from errands.queue.statements.rows import (
    CALL_COLUMNS,
    INSERT_COLUMNS,
    ZEROED_COLUMNS,
    CallRow,
    Parameter,
    places,
)

# As Django names the level that it asks for where the site asks for none.
READ_COMMITTED = "read committed"

# Without its character set it would be the database's, which may know fewer.
KEY_TYPE = "VARCHAR(100) CHARACTER SET utf8mb4"

INSERT_MANY = f"""
INSERT INTO errands_task ({CALL_COLUMNS}, {INSERT_COLUMNS}, {ZEROED_COLUMNS}, worker)
SELECT c.uuid, c.payload, NULL, c.concurrency_key,
    {places(INSERT_COLUMNS.split(", "))}, 0, 0, 0, 0,
    COALESCE(c.unique_key, '[]'), '[]', %s
FROM JSON_TABLE(%s, '$[*]' COLUMNS (
    position FOR ORDINALITY, uuid CHAR(32) PATH '$[0]', payload LONGTEXT PATH '$[1]',
    unique_key {KEY_TYPE} PATH '$[2]', concurrency_key {KEY_TYPE} PATH '$[3]'
)) AS c ORDER BY c.position
"""

LIVE = "SELECT unique_key FROM errands_task WHERE unique_key IN ({keys})"
KEYS_AT_ONCE = 1000

# The ids follow the calls, the locks of the unique index follow the keys: rows
# are inserted marked, with their key among the errors, and take it afterwards.
MARKED = "FORCE INDEX (errands_task_running)"
TAKE_KEYS = f"""
UPDATE IGNORE errands_task {MARKED}
SET unique_key = errors, errors = '[]', worker = NULL WHERE worker = %s ORDER BY errors
"""
DROP_MARKED = f"DELETE t FROM errands_task AS t {MARKED} WHERE t.worker = %s"


def insert_many(
    cursor: CursorWrapper, row: Sequence[Parameter], calls: Sequence[CallRow]
) -> None:
    """Insert one row per call; those whose unique key is live are left out."""
    is_unique = calls[0].unique_key is not None
    if is_unique and not (calls := seemingly_free(cursor, calls)):
        return
    mark = uuid4().hex if is_unique else None
    wires = list(wires_of(calls, packet_size(cursor)))
    if len(wires) == 1 and not is_unique:
        cursor.execute(INSERT_MANY, [*row, mark, *wires])
        return
    with atomic(using=cursor.db.alias, savepoint=not is_unique):
        for wire in wires:
            cursor.execute(INSERT_MANY, [*row, mark, wire])
        if is_unique:
            cursor.execute(TAKE_KEYS, [mark])
            cursor.execute(DROP_MARKED, [mark])


def seemingly_free(cursor: CursorWrapper, calls: Sequence[CallRow]) -> list[CallRow]:
    """Return the calls whose unique key no live task has that can be seen.

    An INSERT that meets such a task locks it, and the gap before it, until the caller
    commits: then nobody can end that task, and nobody enqueue into the gap. To read
    locks nothing. Above READ COMMITTED it is the past that one reads: there the
    INSERT has to find out.
    """
    if cursor.db.isolation_level != READ_COMMITTED:
        return list(calls)
    live = set[str]()
    for some in batched((call.unique_key for call in calls), KEYS_AT_ONCE):
        cursor.execute(LIVE.format(keys=places(some)), some)
        live.update(row[0] for row in cursor.fetchall())
    return [call for call in calls if call.unique_key not in live]
