"""The queue's SQL, per database, behind one interface."""

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from errands.queue.statements.interface import Statements
from errands.queue.statements.mysql.dialect import MySQLStatements
from errands.queue.statements.postgresql.dialect import PostgreSQLStatements
from errands.queue.statements.sqlite import SQLiteStatements

__all__ = ["Statements", "cursor_of", "statements_for"]

DATABASES: dict[str, Statements] = {
    "mysql": MySQLStatements(),
    "postgresql": PostgreSQLStatements(),
    "sqlite": SQLiteStatements(),
}


def statements_for(connection: BaseDatabaseWrapper) -> Statements:
    """Return the SQL for a connection's database."""
    try:
        return DATABASES[connection.vendor]
    except KeyError:
        raise ImproperlyConfigured(
            f"errands has no queue for {connection.vendor!r}. Use PostgreSQL, "
            "MariaDB, MySQL or SQLite, for the tasks alone with "
            "TASKS[…]['OPTIONS'] = {'DATABASE': alias} if need be."
        ) from None


def cursor_of(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """Return a cursor for the statements of a connection's database."""
    return statements_for(connection).cursor(connection)
