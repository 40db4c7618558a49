"""Database connections that outlive attempts, and are clean before each."""

from contextlib import suppress

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Active, in a transaction, in a failed one: numbers of libpq.
POSTGRESQL_IN_TRANSACTION = (1, 2, 3)


def keep_connections() -> None:
    """Let this process keep its connections, before the first is opened.

    ``CONN_MAX_AGE = 0`` means "until the request ends", and a worker has no
    requests. An age the site chose is respected, and a pool does the same.
    """
    for database in connections.settings.values():
        is_pooled = (database.get("OPTIONS") or {}).get("pool")
        if not database.get("CONN_MAX_AGE") and not is_pooled:
            database["CONN_MAX_AGE"] = None


def clean_connections() -> list[str]:
    """Make this thread's connections fit for the next attempt.

    Returns the aliases left inside a transaction. What was done in it is
    rolled back: nobody is left who could commit it. A connection that broke,
    or is older than the site allows, is closed.
    """
    left_open = []
    for connection in connections.all(initialized_only=True):
        is_closed = _is_closed_below(connection)
        if _is_in_transaction(connection) or (not is_closed and _has_begun(connection)):
            left_open.append(connection.alias)
            _discard(connection)
        elif is_closed:
            _discard(connection)
        else:
            try:
                connection.close_if_unusable_or_obsolete()
            except Error:
                _discard(connection)
    return left_open


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Close for good: inside a transaction, a closed one cannot be reopened."""
    with suppress(Error):
        connection.close()
    del connections[connection.alias]


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    if connection.connection is None:
        return False
    usual = connection.settings_dict["AUTOCOMMIT"]
    return connection.in_atomic_block or connection.get_autocommit() != usual


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
    return bool(getattr(driver, "closed", False))
