"""A cursor that hands what is planned to libpq.

For a row of a dozen values, psycopg's cursor takes as long in Python as the server
takes to insert it. So ours sends texts to libpq itself, and leaves everything else
to a cursor of psycopg's, made when it is needed. Django's wrapper is around one as
around the other, so what the site puts around queries sees these too. Where queries
are logged, or something else watches psycopg's cursors, those are used.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.utils.asyncio import async_unsafe

from errands.queue.statements.postgresql.libpq import is_open, rows, texts
from errands.queue.statements.postgresql.planned import Planned
from errands.queue.statements.rows import Parameter

# What Django has around both; a wrapper of somebody else's is other code.
ASYNC_UNSAFE = async_unsafe(len).__code__


def open_cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    """Return a cursor of a PostgreSQL connection: ours, unless somebody watches."""
    if connection.settings_dict["CONN_HEALTH_CHECKS"]:
        connection.close_if_health_check_failed()
    connection.ensure_connection()
    if connection.queries_logged or not _is_unwatched(connection):
        return connection.cursor()
    connection.validate_thread_sharing()
    cursor: Any = LibpqCursor(connection)
    return connection.make_cursor(cursor)


class LibpqCursor:
    """What Django's wrapper needs of a driver's cursor."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection.connection
        self._database = connection
        self._result: Any = None
        self._other: Any = None

    def execute(self, statement: str, values: Sequence[Parameter] | None = None) -> None:
        """Carry out a statement; what is ``Planned`` by way of libpq."""
        self._result = None
        if isinstance(statement, Planned) and is_open(self.connection):
            wires = texts(values or ())
            if wires is not None:
                self._result = statement.carry_out(self._database, wires)
                return
        self._psycopg.execute(statement, values)

    @property
    def rowcount(self) -> int:
        """How many rows the last statement has written, or found."""
        if self._result is None:
            return int(self._psycopg.rowcount)
        return int(self._result.command_tuples or 0)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return the rows of the last statement."""
        if self._result is None:
            found: list[tuple[Any, ...]] = self._psycopg.fetchall()
            return found
        return rows(self._result)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())

    def close(self) -> None:
        """Close the cursor that was made, if one was."""
        if self._other is not None:
            self._other.close()

    @property
    def _psycopg(self) -> Any:
        if self._other is None:
            self._other = self._database.create_cursor()
        return self._other

    def __getattr__(self, name: str) -> Any:
        """Return what only a cursor of psycopg's has."""
        return getattr(self._psycopg, name)


class _Makers(NamedTuple):
    """What makes cursors where nobody has changed anything."""

    connection: type[Any]
    factories: tuple[type, ...]
    cursor: Callable[..., Any]
    create_cursor: Callable[..., Any]


def _is_unwatched(connection: BaseDatabaseWrapper) -> bool:
    """Return whether cursors are made as Django and psycopg make them.

    Debuggers and tracers put something of their own in the place of what makes them.
    """
    makers = _makers()
    driver = connection.connection
    return (
        makers is not None
        and type(driver) is makers.connection
        and driver.cursor_factory in makers.factories
        and getattr(connection.cursor, "__func__", None) is makers.cursor
        and getattr(connection.create_cursor, "__func__", None) is makers.create_cursor
    )


@cache
def _makers() -> _Makers | None:
    try:
        from django.db.backends.postgresql import base
        from psycopg import Connection
    except ImportError:
        return None
    methods = BaseDatabaseWrapper.cursor, base.DatabaseWrapper.create_cursor
    if any(getattr(method, "__code__", None) is not ASYNC_UNSAFE for method in methods):
        return None
    return _Makers(Connection, (base.Cursor, base.ServerBindingCursor), *methods)
