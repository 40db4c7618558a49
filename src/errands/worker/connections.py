"""Database connections that outlive attempts, and are clean before each."""

from contextlib import suppress

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper


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
        if _is_in_transaction(connection):
            left_open.append(connection.alias)
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
