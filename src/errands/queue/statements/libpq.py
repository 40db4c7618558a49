"""What only psycopg 3 can tell of its connection, or do in C: it shows us libpq.

Imported where there is another database too, so it imports psycopg when it is used.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from errands.queue.statements.rows import Parameter

NO_TRANSACTION = 0  # A number of libpq.

type Quoting = Callable[[str], str]


def is_outside_transactions(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the next statement is a transaction of its own.

    False also in one that Django knows nothing of, and where nobody can tell.
    """
    driver = connection.connection
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is None:
        return False
    return bool(driver.autocommit and pgconn.transaction_status == NO_TRANSACTION)


def quoting(cursor: CursorWrapper) -> Quoting | None:
    """Return what quotes texts for a connection; None where it is not psycopg 3's.

    The driver takes 0.1 ms to bind a row in Python; libpq quotes in C.
    """
    pgconn = getattr(getattr(cursor.cursor, "connection", None), "pgconn", None)
    if pgconn is None:
        return None
    escape = _escaping()(pgconn).escape_literal
    return lambda text: escape(text.encode()).decode()


def literal(value: Parameter, quote: Quoting) -> str:
    """Return a value as SQL."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else quote(str(value))


@cache
def _escaping() -> Any:
    from psycopg.pq import Escaping

    return Escaping
