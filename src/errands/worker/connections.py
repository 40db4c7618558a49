"""Database connections that outlive attempts, and are clean before each.

While nobody uses one it may be cut: by a restart of the server, or by what stands
between and counts idle seconds. To ask before each attempt would cost as much as a
small one; so a thread asks where it was idle for 5 s. Where a loop of its process
has found the database away, it opens them anew without asking: what still answers
may be a server that only reads now, since another one has taken over, or a file
that has been replaced. A restart is one of those: a task is claimed over a
connection that was cut as well.

What an interrupted attempt has used is closed when it has ended (``mysql_sessions``
says why). So is a connection that keeps SQLite's whole file locked when its
transaction has ended: all of a queue would wait for it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import (
    closing,
    contextmanager,
    suppress,
)
from contextvars import ContextVar
from math import inf
from threading import local
from types import MappingProxyType

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.transaction import TransactionManagementError
from django.dispatch import receiver

from errands.worker.outage import turns

# Active, in a transaction, in a failed one: numbers of libpq.
POSTGRESQL_IN_TRANSACTION = (1, 2, 3)
# A flag of the MySQL protocol.
MYSQL_IN_TRANSACTION = 1
IDLE_SECONDS = 5.0
# No count of outages.
UNKNOWN = -1

_callers: ContextVar[Mapping[str, int]] = ContextVar(
    "errands_callers_transactions", default=MappingProxyType({})
)


class Kept(local):
    """What a thread knows of the connections that it keeps, or another for it."""

    def __init__(self) -> None:
        self._left_at, self._missed = inf, turns.missed
        self.may_be_some = True
        """False from when somebody looked and there were none, until one is opened."""

    @property
    def may_be_cut(self) -> bool:
        """Whether to ask them before they are used again."""
        is_idle = time.monotonic() - self._left_at > IDLE_SECONDS
        return is_idle or self.are_of_before

    @property
    def are_of_before(self) -> bool:
        """Whether the database was away since they were asked."""
        return self._missed != turns.missed

    def leave(self) -> None:
        """Note that nobody uses them from now on."""
        self._left_at = time.monotonic()

    def distrust(self) -> None:
        """Have them opened anew, though they answer: a task may have spoiled a session.

        One that only reads, or may take no time, would refuse what is needed before
        each attempt, which would be put off again and again.
        """
        self._missed = UNKNOWN

    def note_asked(self) -> None:
        """Note that they are asked now: what is met later may have cut them."""
        self._left_at, self._missed = time.monotonic(), turns.missed


kept = Kept()


@receiver(connection_created)
def _note_connection(**created: object) -> None:
    del created
    if not kept.may_be_some:
        kept.may_be_some = True
        kept.note_asked()


def keep_connections() -> None:
    """Let this process keep its connections, before the first is opened.

    ``CONN_MAX_AGE = 0`` means "until the request ends", and a worker has no
    requests. An age the site chose is respected, and a pool does the same.
    """
    for database in connections.settings.values():
        is_pooled = (database.get("OPTIONS") or {}).get("pool")
        if not database.get("CONN_MAX_AGE") and not is_pooled:
            database["CONN_MAX_AGE"] = None


@contextmanager
def callers_transactions() -> Iterator[None]:
    """Leave the transactions that are open now to the caller.

    For attempts in a thread that is somebody else's, such as a test's inside the
    transaction of its ``TestCase``, or one that has turned autocommit off: what an
    attempt leaves open above those is rolled back, and their connections are never
    closed.
    """
    depths = {
        connection.alias: len(connection.atomic_blocks)
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block or is_by_hand(connection)
    }
    before = _callers.set(depths)
    try:
        yield
    finally:
        _callers.reset(before)


def renew_connections() -> None:
    """Close those of this thread's connections that were cut while it was idle.

    They are asked where that may be, and all are closed where the database was away;
    see above. A caller's transactions are left alone.
    """
    if not (kept.may_be_some and kept.may_be_cut):
        return
    are_of_before = kept.are_of_before
    kept.note_asked()
    for connection in connections.all(initialized_only=True):
        is_callers = connection.in_atomic_block or connection.alias in _callers.get()
        if connection.connection is None or is_callers:
            continue
        if are_of_before:
            with suppress(Error):
                _end_session(connection)
        elif not _answers(connection):
            _discard(connection)


def renew_after_outage() -> None:
    """Let a loop of this process open its connections anew where another one has to."""
    if kept.are_of_before:
        renew_connections()


def clean_connections(
    *, was_interrupted: bool = False, has_succeeded: bool = False
) -> list[str]:
    """Make this thread's connections fit for the next attempt.

    Returns the aliases left inside a transaction. What was done in it is
    rolled back: nobody is left who could commit it. A connection that broke,
    or is older than the site allows, is closed; so is one that cannot be asked, and
    all are where the attempt ``was_interrupted``, or they are not trusted any more.
    To look for them costs a tenth of a small task: after one that ``has_succeeded``,
    where there were none and none has been opened, nobody does. (One that broke while
    it was opened, and whose error the task swallowed, waits for the next that fails.)
    """
    if has_succeeded and not kept.may_be_some:
        return []
    left_open, callers = [], _callers.get()
    are_trusted = not (was_interrupted or kept.are_of_before)
    if not (are_trusted or callers):
        kept.note_asked()
    found = connections.all(initialized_only=True)
    kept.may_be_some = bool(found)
    for connection in found:
        if connection.alias in callers:
            if _unwind(connection, callers[connection.alias]):
                left_open.append(connection.alias)
            continue
        if _was_left_open(connection, are_trusted=are_trusted):
            left_open.append(connection.alias)
    kept.leave()
    return left_open


def _was_left_open(connection: BaseDatabaseWrapper, *, are_trusted: bool) -> bool:
    """Clean one; return whether it was inside a transaction."""
    try:
        is_left_open = connection.in_atomic_block or is_by_hand(connection)
        if is_left_open or _is_spoiled(connection):
            _discard(connection)
        elif are_trusted:
            connection.close_if_unusable_or_obsolete()
        else:
            _end_session(connection)
    except Exception:  # noqa: BLE001 - a task may have put anything there
        _discard(connection)
        return False
    return is_left_open


def _answers(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the server answers; it is asked past Django.

    Its ``is_usable`` lets PyMySQL connect anew by itself, to a session that lacks
    what Django sets for each.
    """
    try:
        with (
            connection.wrap_database_errors,
            closing(connection.connection.cursor()) as cursor,
        ):
            cursor.execute("SELECT 1")
            cursor.fetchall()
    except Error:
        return False
    return True


def _unwind(connection: BaseDatabaseWrapper, depth: int) -> bool:
    """Roll back what was opened inside the caller's transactions."""
    opened = connection.atomic_blocks[depth:]
    error = TransactionManagementError("left open")
    for block in reversed(opened):
        with suppress(Error):
            block.__exit__(type(error), error, None)
    return bool(opened)


def _end_session(connection: BaseDatabaseWrapper) -> None:
    """Close, below a pool too: it would hand out the same session again."""
    if connection.connection is not None and getattr(connection, "pool", None):
        connection.connection.close()
    connection.close()


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Close for good: inside a transaction, a closed one cannot be reopened.

    SQLite closes nothing while there is a cursor that has not been read to its end,
    which the traceback of a task keeps: that must not keep the transaction as well.
    """
    if connection.vendor == "sqlite":
        with suppress(Exception):
            connection.connection.rollback()
    with suppress(Exception):
        _end_session(connection)
    del connections[connection.alias]


def _is_spoiled(connection: BaseDatabaseWrapper) -> bool:
    """Return whether it cannot be used any more, although nothing is open.

    Who sets ``in_atomic_block`` by hand, for what may be run outside only, may leave
    blocks behind in which no durable one can be opened.
    """
    if connection.atomic_blocks or _is_closed_below(connection):
        return True
    return connection.vendor == "sqlite" and _keeps_file_locked(connection)


def _keeps_file_locked(connection: BaseDatabaseWrapper) -> bool:
    """Return whether SQLite gives no lock of its file back, as a task has told it.

    A database in memory never does; it is one connection's, and gone with that.
    """
    driver = connection.connection
    if driver is None or connection.is_in_memory_db():  # type: ignore[attr-defined]
        return False
    (mode,) = driver.execute("PRAGMA main.locking_mode").fetchone()
    return bool(mode == "exclusive")


def is_by_hand(connection: BaseDatabaseWrapper) -> bool:
    """Return whether somebody does the transactions here without ``atomic()``.

    Autocommit is off where the site has it on, or the other way round, or a
    transaction is open that was begun in SQL.
    """
    if connection.connection is None:
        return False
    if connection.get_autocommit() != connection.settings_dict["AUTOCOMMIT"]:
        return True
    return not _is_closed_below(connection) and _has_begun(connection)


def _has_begun(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the driver is in a transaction Django knows nothing of.

    A task that said BEGIN itself would otherwise take in the writes of those
    after it, and on SQLite lock out everybody.
    """
    driver = connection.connection
    if driver is None or not connection.settings_dict["AUTOCOMMIT"]:
        return False
    if connection.vendor == "sqlite":
        return bool(driver.in_transaction)
    if connection.vendor == "postgresql":
        return driver.info.transaction_status in POSTGRESQL_IN_TRANSACTION
    return _mysql_has_begun(connection)


def _mysql_has_begun(connection: BaseDatabaseWrapper) -> bool:
    """Return what PyMySQL knows, and mysqlclient has to ask the server.

    MySQL itself has no answer: there, with mysqlclient, it goes unnoticed.
    """
    status = getattr(connection.connection, "server_status", None)
    if status is not None:
        return bool(status & MYSQL_IN_TRANSACTION)
    if not getattr(connection, "mysql_is_mariadb", False):
        return False
    with suppress(Error), connection.cursor() as cursor:
        cursor.execute("SELECT @@in_transaction")
        return bool(cursor.fetchone()[0])
    return False


def _is_closed_below(connection: BaseDatabaseWrapper) -> bool:
    """Return whether somebody closed the driver's connection without Django."""
    driver = connection.connection
    if driver is None:
        return False
    if connection.vendor == "sqlite":
        try:
            with connection.wrap_database_errors:
                return bool(driver.total_changes < 0)
        except Error:
            return True
    # What knows neither word is no driver's connection.
    return bool(getattr(driver, "closed", not getattr(driver, "open", False)))
