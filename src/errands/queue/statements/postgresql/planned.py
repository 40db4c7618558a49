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
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from errands.queue.statements.postgresql.libpq import NO_TRANSACTION, Texts, run

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
    is_due: bool = False
    """Whether to prepare it the next time."""
    is_prepared: bool = False
    is_outdated: bool = False
    """Whether the server still has it from before."""
    brought_many: bool = False
    """Whether it had more than a few rows the last time."""

    def note(self, seconds: float, rows: int, *, is_planned: bool) -> None:
        """Note how it went; as planned it took far too long: plan it anew later."""
        self.brought_many = rows > FEW_ROWS
        if self.brought_many:
            return
        if not is_planned:
            self.uses += 1
            self.quickest = min(self.quickest, seconds)
            self.is_due = not self.is_prepared and self.uses >= self.before
        elif seconds > SLOW_SECONDS + SLOW_TIMES * self.quickest:
            self.before = min(2 * self.before, MOST_USES_BEFORE)
            self.uses, self.quickest = 0, inf
            self.is_prepared, self.is_outdated = False, True


class Planned(str):
    """A statement, prepared on connections that need it often.

    It is the text, with ``%s`` for each value, that any cursor takes.
    """

    __slots__ = ("_name", "_preparations", "_prepared")

    def __new__(cls, name: str, statement: str) -> "Planned":
        """``name`` is what its prepared statements are called on the server."""
        del name
        return super().__new__(cls, statement)

    def __init__(self, name: str, statement: str) -> None:
        places = tuple(f"${number + 1}" for number in range(statement.count("%s")))
        self._prepared = (statement % places).encode()
        # Old code and new may meet on a connection of a pool.
        digest = blake2b(self._prepared, digest_size=4).hexdigest()
        self._name = f"errands_{name}_{digest}".encode()
        self._preparations: WeakKeyDictionary[Any, Preparation] = WeakKeyDictionary()

    def carry_out(self, connection: BaseDatabaseWrapper, wires: Texts) -> Any:
        """Carry it out with texts; return libpq's result. Errors are psycopg's."""
        driver = connection.connection
        preparation = self._preparation(connection)
        if preparation is None:
            return self._sent(driver, wires)
        began = time.perf_counter()
        result = self._sent_as_planned(connection, preparation, wires)
        is_planned = result is not None
        if not is_planned:
            began = time.perf_counter()
            result = self._sent(driver, wires)
        seconds = time.perf_counter() - began
        preparation.note(seconds, result.command_tuples or 0, is_planned=is_planned)
        return result

    def _sent(self, driver: Any, wires: Texts) -> Any:
        return run(driver, driver.pgconn.send_query_params, self._prepared, wires)

    def _sent_as_planned(
        self, connection: BaseDatabaseWrapper, preparation: Preparation, wires: Texts
    ) -> Any:
        """Carry it out as it is prepared; None where it was not carried out."""
        driver = connection.connection
        try:
            if preparation.is_due:
                self._prepare(driver, preparation)
            if preparation.is_prepared and not preparation.brought_many:
                return run(driver, driver.pgconn.send_query_prepared, self._name, wires)
        except Exception as error:
            if getattr(error, "sqlstate", None) not in REFUSALS:
                raise
            alias = connection.alias
            _refused_by.add(alias)
            logger.info("%r keeps no prepared statements: none is used there", alias)
        return None

    def _prepare(self, driver: Any, preparation: Preparation) -> None:
        if preparation.is_outdated:
            driver.execute(f"DEALLOCATE {self._name.decode()}")
        run(driver, driver.pgconn.send_prepare, self._name, self._prepared)
        preparation.is_prepared, preparation.is_due = True, False

    def _preparation(self, connection: BaseDatabaseWrapper) -> Preparation | None:
        """Return how far a connection is; None where nothing may be prepared."""
        driver, alias = connection.connection, connection.alias
        if alias in _refused_by or driver.pgconn.transaction_status != NO_TRANSACTION:
            return None
        preparation = self._preparations.get(driver)
        if preparation is None:
            if connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
                return None
            preparation = self._preparations[driver] = Preparation()
        return preparation
