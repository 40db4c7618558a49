"""A second, autocommit way into a database.

Progress and heartbeats must be seen while the task that makes them is inside
``atomic()``, and must not wait for it. So they are written here:

* on PostgreSQL and MySQL over a connection of their own;
* on SQLite, where one open transaction locks the whole file for writers, in a
  side file next to the main one (``db.sqlite3.errands``). An in-memory
  database gets a side database in memory.

One sidecar per alias and process, used by every thread under one lock: its
statements are short, and a connection per thread would double the number the
server has to hold. After a fork the parent keeps them, and the child begins
with none. What is kept here refers to nothing by foreign key; a reader must
accept that a row is missing.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.db import DEFAULT_DB_ALIAS, DatabaseError, Error, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

SIDE_SUFFIX = ".errands"
LOCK_TIMEOUT_SECONDS = 2
PREPARATIONS = {
    "mysql": (f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT_SECONDS}",),
    # A lost heartbeat or progress line is written again soon.
    "sqlite": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF"),
}

_models: list[type[models.Model]] = []
_sidecars: dict[str, "Sidecar"] = {}
_of_parents: list["Sidecar"] = []


def sidecar_model[M: models.Model](model: type[M]) -> type[M]:
    """Register a model whose table lives in the sidecar."""
    _models.append(model)
    return model


class Sidecar:
    """One autocommit connection of this process to an alias's sidecar."""

    def __init__(self, alias: str) -> None:
        self._lock = threading.RLock()
        self._connection = _connection_beside(alias)
        self._prepared: object = None

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self._lock, self._carried_out(sql, params) as cursor:
            return list(cursor.fetchall()) if cursor.description else []

    def update(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one statement and return how many rows it changed."""
        with self._lock, self._carried_out(sql, params) as cursor:
            return int(cursor.rowcount)

    @property
    def vendor(self) -> str:
        """The database's vendor, as Django names it."""
        return self._connection.vendor

    @property
    def is_in_memory(self) -> bool:
        """Whether closing it would lose what it holds."""
        return self.vendor == "sqlite" and "mode=memory" in str(
            self._connection.settings_dict["NAME"]
        )

    def close(self) -> None:
        """Close the connection; the next statement opens it again."""
        with self._lock:
            self._connection.close()

    def remove_if_orphaned(self) -> None:
        """Delete the side file of an SQLite database that is gone."""
        if self.vendor != "sqlite" or self.is_in_memory:
            return
        name = str(self._connection.settings_dict["NAME"])
        side = name.removeprefix("file:").partition("?")[0]
        if Path(side.removesuffix(SIDE_SUFFIX)).exists():
            return
        with self._lock:
            self._connection.close()
            for ending in ("", "-wal", "-shm"):
                Path(f"{side}{ending}").unlink(missing_ok=True)

    @contextmanager
    def _carried_out(self, sql: str, params: Sequence[Any]) -> "Iterator[CursorWrapper]":
        try:
            with self._connection.cursor() as cursor:
                if self._prepared is not self._connection.connection:
                    self._prepare(cursor)
                    self._prepared = self._connection.connection
                cursor.execute(sql, params)
                yield cursor
        except Error:
            # The connection may be the reason, also where it was just being made; the
            # next call gets a new one.
            self._connection.close()
            raise

    def _prepare(self, cursor: "CursorWrapper") -> None:
        """Bring a new connection into the state that statements need."""
        for statement in PREPARATIONS.get(self.vendor, ()):
            cursor.execute(statement)
        if self.vendor == "sqlite":
            existing = set(self._connection.introspection.table_names())
            for model in _models:
                if model._meta.db_table not in existing:
                    _create_table(self._connection, model)


def sidecar(alias: str = DEFAULT_DB_ALIAS) -> Sidecar:
    """Return this process's sidecar of a database alias."""
    if alias not in _sidecars:
        _sidecars.setdefault(alias, Sidecar(alias))
    return _sidecars[alias]


def close_sidecars() -> None:
    """Close this process's connections, but to what is only in memory.

    A server drops no database that somebody is connected to, and a copy of this
    process cannot share them. The next statement opens a connection again.
    """
    for known in list(_sidecars.values()):
        if not known.is_in_memory:
            known.close()


def remove_orphans() -> None:
    """Delete the side files of SQLite databases that are gone, as a test's is."""
    for known in list(_sidecars.values()):
        known.remove_if_orphaned()


def _leave_to_parent() -> None:
    """Begin with none after a fork, where another thread may have held a lock.

    The connections are the parent's: one that nobody referred to any more would be
    closed, and would say goodbye for it.
    """
    _of_parents.extend(_sidecars.values())
    _sidecars.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _connection_beside(alias: str) -> BaseDatabaseWrapper:
    connection = connections[alias].copy()
    connection.inc_thread_sharing()
    settings = connection.settings_dict
    options = settings["OPTIONS"] = dict(settings.get("OPTIONS") or {})
    settings |= {"AUTOCOMMIT": True, "ATOMIC_REQUESTS": False, "CONN_MAX_AGE": None}
    # A pool would lend one to whoever asks; this one stays.
    options.pop("pool", None)
    if connection.vendor == "sqlite":
        settings["NAME"] = _side_name(alias, settings["NAME"])
        options.pop("init_command", None)
        options["transaction_mode"] = "IMMEDIATE"
        options["timeout"] = LOCK_TIMEOUT_SECONDS
    return connection


def _side_name(alias: str, name: object) -> str:
    main = str(name)
    if main == ":memory:":
        return f"file:errands-{quote(alias, safe='')}?mode=memory&cache=shared"
    path, question_mark, query = main.partition("?")
    return f"{path}{SIDE_SUFFIX}{question_mark}{query}"


def _create_table(connection: BaseDatabaseWrapper, model: type[models.Model]) -> None:
    try:
        # Its transaction would be one of the alias's own connection.
        with connection.schema_editor(atomic=False) as editor:
            editor.create_model(model)
    except DatabaseError:
        # Another process was faster; anything else shows at the first use.
        if model._meta.db_table not in connection.introspection.table_names():
            raise
