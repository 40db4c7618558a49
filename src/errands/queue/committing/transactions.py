"""Transactions of the queue's own, which end though their client does not.

A process that is frozen (SIGSTOP, a suspended machine) or whose host is lost in
the middle of one holds the locks of keys and rows. Whoever rescues its tasks,
or claims tasks of the same key, would wait until it wakes up, or until the
server gives up its connection, which takes hours. So PostgreSQL is told to end
it after some seconds without a word; to its client that is an outage, and what
it was about is still to be done. MariaDB, MySQL and SQLite know no such limit
for a single transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic, on_commit

from errands.conf import settings
from errands.queue.statements import cursor_of, statements_for

LONGEST_SILENCE = timedelta(seconds=5)


@contextmanager
def brief(alias: str) -> Iterator[CursorWrapper]:
    """Open a transaction of a few statements with nothing but those inside.

    Where the caller is in one already, this is a part of it and keeps its rules.
    """
    is_outermost = not is_in_one(connections[alias])
    transaction = atomic(using=alias)
    with cut_off_when_silent(alias), transaction, cursor_of(connections[alias]) as cursor:
        if is_outermost:
            limit_silence(cursor)
        yield cursor


def is_in_one(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the caller is in a transaction, of ``atomic()`` or by hand."""
    return connection.in_atomic_block or not connection.get_autocommit()


def limit_silence(cursor: CursorWrapper) -> None:
    """Let the open transaction end after 5 s without a word, or a lease if shorter."""
    silence = min(LONGEST_SILENCE, settings().lease)
    statements_for(cursor.db).limit_silence(cursor, silence)


@contextmanager
def cut_off_when_silent(alias: str) -> Iterator[None]:
    """Raise ``OperationalError`` where the server has ended a silent transaction."""
    try:
        yield
    except DatabaseError as error:
        if statements_for(connections[alias]).was_silent(error):
            raise OperationalError(*error.args) from error
        raise


def after_commit(alias: str, act: Callable[[], object]) -> bool:
    """Do something once the caller has committed, at once where nothing is open.

    Returns what came of it; True where it has to wait.
    """
    if not connections[alias].in_atomic_block:
        return bool(act())
    on_commit(act, using=alias, robust=True)
    return True
