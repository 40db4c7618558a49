"""Let one after the other insert the same unique key on MySQL.

Whoever inserts a key that another transaction has inserted waits for its end.
If two wait and it rolls back (or deletes the row), InnoDB lets both go on with
a lock on the same gap, and each keeps the other from inserting: a deadlock,
out of nothing the callers have done. So only one waits there, and the others
before this gate: a named lock, held for the length of the INSERT.

The gate is no promise; the unique index is. Who cannot get through for as long
as InnoDB waits for a lock, or is the one that the others wait for, goes past it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

from django.db import Error
from django.db.backends.utils import CursorWrapper

ROUNDS = 50
ROUND_SECONDS = 1


@contextmanager
def alone(cursor: CursorWrapper, key: str) -> Iterator[None]:
    """Insert a unique key with nobody else doing so."""
    name = _name(cursor, key)
    has_entered = _enter(cursor, name, key)
    try:
        yield
    finally:
        if has_entered:
            _leave(cursor, name)


def _enter(cursor: CursorWrapper, name: str, key: str) -> bool:
    for _ in range(ROUNDS):
        cursor.execute("SELECT GET_LOCK(%s, %s)", [name, ROUND_SECONDS])
        if cursor.fetchone() == (1,):
            return True
        # A row that we can see is committed, or our own: nothing to wait for.
        cursor.execute("SELECT 1 FROM errands_task WHERE unique_key = %s", [key])
        if cursor.fetchone() is not None:
            return False
    return False


def _leave(cursor: CursorWrapper, name: str) -> None:
    """Open the gate; a cursor of its own keeps the row count of the INSERT."""
    with suppress(Error), cursor.db.cursor() as another:
        another.execute("DO RELEASE_LOCK(%s)", [name])


def _name(cursor: CursorWrapper, key: str) -> str:
    """Return a name that belongs to the key of this database of the server."""
    place = f"{cursor.db.settings_dict['NAME']} {key}"
    return "errands." + blake2b(place.encode(), digest_size=16).hexdigest()
