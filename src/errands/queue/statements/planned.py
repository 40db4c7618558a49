"""An INSERT that PostgreSQL plans once for a connection, not each time.

Planning it takes as long as writing the row. But what is prepared belongs to
one connection of the server, and behind a pooler, such as pgbouncer, the next
transaction may get another one: there it is missing, or somebody else's. So it
is used only while no transaction is open, where a refusal costs nothing: the
row is then inserted in the plain way, and that database is asked no more.

A site that says that it has such a pooler, with ``DISABLE_SERVER_SIDE_CURSORS``,
is not asked at all.
"""

import logging
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

from errands.queue.statements.rows import ZEROED_COLUMNS, ZEROES

logger = logging.getLogger("errands.queue")

USES_BEFORE = 5
NO_TRANSACTION = 0  # A number of libpq.
# Of SQLSTATE: a prepared statement that is missing, and one too many.
REFUSALS = {"26000", "42P05"}


class PlannedInsert:
    """The INSERT of one row, prepared on connections that need it often."""

    def __init__(self, columns: str, *, ending: str = "") -> None:
        """``columns`` are given with each row, all others are as at the start."""
        self._head = f"INSERT INTO errands_task ({columns}, {ZEROED_COLUMNS}) VALUES ("
        self._tail = f", {ZEROES}) {ending}"
        places = ", ".join(f"${n}" for n, _ in enumerate(columns.split(","), start=1))
        prepared = f"{self._head}{places}{self._tail}"
        # Old code and new may meet on a connection of a pool.
        digest = blake2b(prepared.encode(), digest_size=4).hexdigest()
        self._name = f"errands_insert_{digest}"
        self._prepare = f"PREPARE {self._name} AS {prepared}"
        self._uses: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._refused_by: set[str] = set()

    def insert(self, cursor: CursorWrapper, literals: str) -> None:
        """Insert a row, given as the literals of its columns."""
        try:
            if self._is_prepared(cursor):
                cursor.execute(f"EXECUTE {self._name} ({literals})")
                return
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlstate", None) not in REFUSALS:
                raise
            alias = cursor.db.alias
            self._refused_by.add(alias)
            logger.info("%r keeps no prepared statements: none is used there", alias)
        cursor.execute(f"{self._head}{literals}{self._tail}")

    def _is_prepared(self, cursor: CursorWrapper) -> bool:
        """Return whether it is; the sixth use prepares it."""
        driver, database = cursor.connection, cursor.db
        if not driver.autocommit or driver.pgconn.transaction_status != NO_TRANSACTION:
            return False
        if database.alias in self._refused_by:
            return False
        uses = self._uses.get(driver, 0)
        if uses <= USES_BEFORE:
            if database.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
                return False
            if uses == USES_BEFORE:
                # Past the site: it must not count as a query of its own.
                with database.wrap_database_errors:
                    driver.execute(self._prepare)
            self._uses[driver] = uses + 1
        return uses >= USES_BEFORE
