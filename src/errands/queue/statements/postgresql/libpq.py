"""What psycopg 3 lets us say to libpq, past its cursors.

Imported where there is another database too, so it imports psycopg when it is used.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from errands.queue.statements.rows import Parameter

# Numbers of libpq.
NO_TRANSACTION, IN_TRANSACTION = 0, 2
FATAL_ERROR = 7

type Texts = list[bytes | None]


def is_outside_transactions(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the next statement is a transaction of its own.

    False also in one that Django knows nothing of, and where nobody can tell.
    """
    driver = connection.connection
    pgconn = getattr(driver, "pgconn", None)
    if pgconn is None:
        return False
    return bool(driver.autocommit and pgconn.transaction_status == NO_TRANSACTION)


def is_open(driver: Any) -> bool:
    """Return whether libpq takes a statement as it is.

    Not where psycopg has to send BEGIN first, where a statement has failed or was
    left behind, and while several are sent at once.
    """
    pgconn = driver.pgconn
    status = pgconn.transaction_status
    is_begun = status == IN_TRANSACTION or (
        status == NO_TRANSACTION and driver.autocommit
    )
    return is_begun and not pgconn.pipeline_status


def texts(values: Sequence[Parameter]) -> Texts | None:
    """Return values as libpq takes them; None where it would cut one at a NUL."""
    wires: Texts = []
    for value in values:
        text = None if value is None else str(value)
        if text and "\0" in text:
            return None
        wires.append(None if text is None else text.encode())
    return wires


def run(driver: Any, send: Callable[..., None], *arguments: object) -> Any:
    """Send a statement and return its result; errors are psycopg's.

    Waits as psycopg does: notifications are heard, and Ctrl-C cancels the statement.
    """
    psycopg = _psycopg()
    with driver.lock:
        send(*arguments)
        results = driver.wait(psycopg.execute(driver.pgconn))
    for result in results:
        if result.status == FATAL_ERROR:
            raise psycopg.error_from_result(result)
    return results[-1]


def rows(result: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a result as psycopg reads them; its instants are in UTC.

    Django's own loaders, which make them the site's, are Python and twice as slow.
    """
    transformer = _psycopg().transformer()
    transformer.set_pgresult(result)
    found: list[tuple[Any, ...]] = transformer.load_rows(0, result.ntuples, tuple)
    return found


class _Psycopg(NamedTuple):
    execute: Callable[..., Any]
    error_from_result: Callable[..., Exception]
    transformer: Callable[..., Any]


@cache
def _psycopg() -> _Psycopg:
    from psycopg.adapt import Transformer
    from psycopg.errors import error_from_result
    from psycopg.generators import execute

    return _Psycopg(execute, error_from_result, Transformer)
