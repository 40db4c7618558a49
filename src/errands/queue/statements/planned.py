"""Statements that PostgreSQL plans once for a connection, not each time.

Planning one takes as long as carrying it out for a few rows. But what is
prepared belongs to one connection of the server, and behind a pooler, such as
pgbouncer, the next transaction may get another one: there it is missing, or
somebody else's. So it is used only while no transaction is open, where a refusal
costs nothing: the statement is then sent in the plain way, and that database is
asked no more. A site that says that it has such a pooler, with
``DISABLE_SERVER_SIDE_CURSORS``, is not asked at all.

A plan that was made while a table was empty reads all of it when it has filled.
So a statement that takes much longer than it did in the plain way is planned
anew, the next time after twice as many uses.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

from errands.queue.statements.libpq import is_outside_transactions, literal, quoting
from errands.queue.statements.rows import Parameter

logger = logging.getLogger("errands.queue")

USES_BEFORE, MOST_USES_BEFORE = 5, 640
# Above, planning is a small part of the whole.
FEW_ROWS = 20
SLOW_SECONDS, SLOW_TIMES = 0.004, 3
# Of SQLSTATE: a prepared statement that is missing, one too many, and one whose
# table has changed.
REFUSALS = {"26000", "42P05", "0A000"}

_refused_by: set[str] = set()


@dataclass(slots=True)
class Preparation:
    """How far one connection is with one statement."""

    before: int = USES_BEFORE
    """How many times it is sent in the plain way before it is prepared."""
    uses: int = 0
    quickest: float = inf
    """The seconds that took at least, for a few rows."""
    rows: int = 0
    """How many rows it had the last time."""
    is_prepared: bool = False
    is_outdated: bool = False
    """Whether the server still has it from before."""

    @property
    def is_due(self) -> bool:
        """Whether to prepare it now."""
        return not self.is_prepared and self.uses >= self.before

    @property
    def is_useful(self) -> bool:
        """Whether to carry it out as it is prepared."""
        return self.is_prepared and self.rows <= FEW_ROWS

    def note(self, seconds: float, rows: int, *, is_planned: bool) -> None:
        """Note how it went; as planned it took far too long: plan it anew later."""
        self.rows = rows
        if rows > FEW_ROWS:
            return
        if not is_planned:
            self.uses += 1
            self.quickest = min(self.quickest, seconds)
        elif seconds > SLOW_SECONDS + SLOW_TIMES * self.quickest:
            self.before = min(2 * self.before, MOST_USES_BEFORE)
            self.uses, self.quickest = 0, inf
            self.is_prepared, self.is_outdated = False, True


class Planned:
    """A statement, prepared on connections that need it often."""

    def __init__(self, name: str, statement: str) -> None:
        """``statement`` has ``%s`` for each value, as a cursor takes it."""
        self.statement = statement
        places = tuple(f"${number + 1}" for number in range(statement.count("%s")))
        self._prepared = statement % places
        # Old code and new may meet on a connection of a pool.
        digest = blake2b(self._prepared.encode(), digest_size=4).hexdigest()
        self._name = f"errands_{name}_{digest}"
        self._preparations: WeakKeyDictionary[Any, Preparation] = WeakKeyDictionary()

    def execute(self, cursor: CursorWrapper, values: Sequence[Parameter]) -> None:
        """Carry it out with numbers and texts."""
        quote = quoting(cursor)
        if quote is None:
            cursor.execute(self.statement, values)
        else:
            self.execute_with(cursor, [literal(value, quote) for value in values])

    def execute_with(self, cursor: CursorWrapper, literals: Sequence[str]) -> None:
        """Carry it out with values that are SQL already."""
        preparation = self._preparation(cursor)
        began = time.perf_counter()
        is_planned = bool(
            preparation and self._has_executed(cursor, preparation, literals)
        )
        if not is_planned:
            began = time.perf_counter()
            cursor.execute(self.statement % tuple(literals))
        if preparation:
            seconds = time.perf_counter() - began
            preparation.note(seconds, cursor.rowcount, is_planned=is_planned)

    def _has_executed(
        self, cursor: CursorWrapper, preparation: Preparation, literals: Sequence[str]
    ) -> bool:
        """Carry it out as it is prepared; False where it was not carried out."""
        try:
            if preparation.is_due:
                self._prepare(cursor, preparation)
            if preparation.is_useful:
                cursor.execute(f"EXECUTE {self._name} ({', '.join(literals)})")
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlstate", None) not in REFUSALS:
                raise
            alias = cursor.db.alias
            _refused_by.add(alias)
            logger.info("%r keeps no prepared statements: none is used there", alias)
            return False
        return preparation.is_useful

    def _prepare(self, cursor: CursorWrapper, preparation: Preparation) -> None:
        """Prepare it, past the site: it must not count as a query of its own."""
        with cursor.db.wrap_database_errors:
            if preparation.is_outdated:
                cursor.connection.execute(f"DEALLOCATE {self._name}")
            cursor.connection.execute(f"PREPARE {self._name} AS {self._prepared}")
        preparation.is_prepared = True

    def _preparation(self, cursor: CursorWrapper) -> Preparation | None:
        """Return how far this connection is; None where nothing may be prepared."""
        driver, database = cursor.connection, cursor.db
        if database.alias in _refused_by or not is_outside_transactions(database):
            return None
        preparation = self._preparations.get(driver)
        if preparation is None:
            if database.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
                return None
            preparation = self._preparations[driver] = Preparation()
        return preparation
