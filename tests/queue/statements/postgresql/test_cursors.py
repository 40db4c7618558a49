"""What PostgreSQL is told past psycopg's cursors is the same, and nobody misses it."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import Cursor, DatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from errands.queue.statements import cursor_of
from errands.queue.statements.postgresql import cursors
from errands.queue.statements.postgresql.cursors import LibpqCursor
from errands.queue.statements.postgresql.planned import Planned
from tests.servers import postgresql

SAVE = Planned("save", "INSERT INTO note (text, number) VALUES (%s, %s)")
LIST = Planned("list", "SELECT id, text, number, written_at, name FROM note")
NOTE = """
CREATE TEMPORARY TABLE note (
    id int GENERATED ALWAYS AS IDENTITY, text text UNIQUE, number smallint,
    written_at timestamptz DEFAULT now(), name uuid DEFAULT gen_random_uuid()
)
"""


@pytest.fixture
def alias(alias_of) -> str:
    """A PostgreSQL with one table of its own, whatever the run is on."""
    alias = alias_of(postgresql.database("postgres"))
    with connections[alias].cursor() as cursor:
        cursor.execute(NOTE)
    return str(alias)


@pytest.fixture
def connection(alias) -> BaseDatabaseWrapper:
    return connections[alias]


def save(connection: BaseDatabaseWrapper, text: str, number: object = 1) -> int:
    with cursor_of(connection) as cursor:
        cursor.execute(SAVE, [text, number])
        return int(cursor.rowcount)


def texts(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM note ORDER BY id")
        return [text for (text,) in cursor.fetchall()]


def is_ours(connection: BaseDatabaseWrapper) -> bool:
    with cursor_of(connection) as cursor:
        return isinstance(cursor.cursor, LibpqCursor)


def terminate(connection: BaseDatabaseWrapper) -> None:
    """Have the server end the connection of somebody."""
    pid = connection.connection.info.backend_pid
    with psycopg.connect(postgresql.url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_rows_and_their_number_are_what_psycopg_returns(connection):
    assert is_ours(connection)
    assert save(connection, "one") == 1
    assert save(connection, "two", None) == 1

    with timezone.override("Asia/Kathmandu"), cursor_of(connection) as cursor:
        cursor.execute(LIST)
        ours, number = cursor.fetchall(), cursor.rowcount
    with connection.cursor() as cursor:
        cursor.execute(LIST)
        theirs = cursor.fetchall()

    assert (ours, number) == (theirs, 2)
    assert [row[3].tzinfo for row in ours] == [row[3].tzinfo for row in theirs]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_instants_are_right_whatever_zone_the_session_has(connection, zone):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('timezone', %s, false)", [zone])
    save(connection, "one")

    with cursor_of(connection) as cursor:
        cursor.execute(LIST)
        written_at = cursor.fetchall()[0][3]

    assert written_at.tzinfo is UTC
    assert abs(written_at - timezone.now()) < timedelta(minutes=10)


@pytest.mark.parametrize("option", ["pool", "server_side_binding"])
def test_it_serves_sites_with_options_for_psycopg(alias_of, option):
    alias = alias_of(postgresql.database("postgres") | {"OPTIONS": {option: True}})
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(NOTE)

    for number in range(8):
        assert save(connection, str(number)) == 1
    with transaction.atomic(alias):
        assert len(texts(connection)) == 8
        save(connection, "inside")

    assert is_ours(connection)
    assert len(texts(connection)) == 9
    connection.close()
    connection.close_pool()


def test_what_is_not_planned_goes_through_psycopg(connection):
    save(connection, "one")

    with cursor_of(connection) as cursor:
        cursor.execute(LIST)
        cursor.execute("SELECT text, %s FROM note", [5])
        assert cursor.fetchone() == ("one", 5)
        assert cursor.description[0].name == "text"
        assert cursor.rowcount == 1
        cursor.execute("SELECT '100%'")
        assert list(cursor) == [("100%",)]
        assert cursor.mogrify("SELECT %s", ["it's"]) == "SELECT 'it''s'"


def test_a_text_with_nul_is_refused_and_not_cut(connection):
    save(connection, "one")

    with pytest.raises(DataError, match="NUL"):
        save(connection, "two\0three")

    assert texts(connection) == ["one"]


def test_what_the_server_refuses_is_djangos_error_with_psycopgs_below(connection):
    save(connection, "one")

    with pytest.raises(IntegrityError, match="note_text_key") as refused:
        save(connection, "one")
    with pytest.raises(DataError) as wrong:
        save(connection, "two", "many")

    assert isinstance(refused.value.__cause__, psycopg.errors.UniqueViolation)
    assert refused.value.__cause__.diag.constraint_name == "note_text_key"
    assert isinstance(wrong.value.__cause__, psycopg.errors.InvalidTextRepresentation)
    assert save(connection, "three") == 1


@pytest.mark.parametrize("is_first", [True, False])
def test_it_belongs_to_the_transaction_of_the_caller(alias, connection, is_first):
    save(connection, "before")

    with pytest.raises(ZeroDivisionError), transaction.atomic(alias):
        if not is_first:
            texts(connection)
        save(connection, "inside")
        assert texts(connection) == ["before", "inside"]
        raise ZeroDivisionError

    assert texts(connection) == ["before"]


def test_a_refusal_in_a_transaction_ends_that_transaction(alias, connection):
    save(connection, "one")

    with pytest.raises(IntegrityError), transaction.atomic(alias):
        texts(connection)
        save(connection, "one")
    with transaction.atomic(alias):
        texts(connection)
        with pytest.raises(IntegrityError), transaction.atomic(alias):
            save(connection, "one")
        save(connection, "two")

    assert texts(connection) == ["one", "two"]


def test_in_manual_transaction_mode_it_waits_for_the_commit(connection):
    connection.set_autocommit(False)
    save(connection, "one")
    connection.rollback()
    save(connection, "two")
    connection.commit()
    connection.set_autocommit(True)

    assert texts(connection) == ["two"]


def test_amid_a_pipeline_it_takes_its_place(connection):
    save(connection, "one")

    with connection.connection.pipeline():
        save(connection, "two")
        save(connection, "three")

    assert texts(connection) == ["one", "two", "three"]


def cursor_of_its_own(connection: BaseDatabaseWrapper, patch: Any) -> None:
    patch.setattr(connection, "cursor", lambda: BaseDatabaseWrapper.cursor(connection))


def cursor_of_the_class(connection: BaseDatabaseWrapper, patch: Any) -> None:
    original = BaseDatabaseWrapper.cursor

    def traced(self: BaseDatabaseWrapper) -> Any:
        return original(self)

    patch.setattr(BaseDatabaseWrapper, "cursor", traced)


def cursor_of_the_class_from_the_start(
    connection: BaseDatabaseWrapper, patch: Any
) -> None:
    cursor_of_the_class(connection, patch)
    cursors._makers.cache_clear()


def backend_of_its_own(connection: BaseDatabaseWrapper, patch: Any) -> None:
    class Traced(DatabaseWrapper):
        def create_cursor(self, name: str | None = None) -> object:
            return super().create_cursor(name)

    patch.setattr(connection, "__class__", Traced)


def factory_of_cursors(connection: BaseDatabaseWrapper, patch: Any) -> None:
    class Traced(Cursor):
        pass

    patch.setattr(connection.connection, "cursor_factory", Traced)


def driver_behind_a_proxy(connection: BaseDatabaseWrapper, patch: Any) -> None:
    class Proxy:
        def __init__(self, driver: object) -> None:
            self._driver = driver

        def __getattr__(self, name: str) -> Any:
            return getattr(self._driver, name)

    patch.setattr(connection, "connection", Proxy(connection.connection))


def log_of_queries(connection: BaseDatabaseWrapper, patch: Any) -> None:
    patch.setattr(connection, "force_debug_cursor", True)


@pytest.mark.parametrize(
    "watch",
    [
        cursor_of_its_own,
        cursor_of_the_class,
        cursor_of_the_class_from_the_start,
        backend_of_its_own,
        factory_of_cursors,
        driver_behind_a_proxy,
        log_of_queries,
    ],
)
def test_whoever_watches_cursors_sees_all_that_goes_through(
    connection, watch, monkeypatch
):
    save(connection, "one")
    with monkeypatch.context() as patch:
        watch(connection, patch)
        assert not is_ours(connection)
        assert save(connection, "two") == 1
    cursors._makers.cache_clear()

    assert is_ours(connection)
    assert texts(connection) == ["one", "two"]


def test_who_watches_the_wrapper_of_all_cursors_sees_what_libpq_is_told(
    connection, monkeypatch
):
    def traced(self: CursorWrapper, sql: str, params: Any = None) -> Any:
        seen.append(sql)
        return original(self, sql, params)

    original, seen = CursorWrapper.execute, []
    monkeypatch.setattr(CursorWrapper, "execute", traced)

    save(connection, "one")

    assert seen == [SAVE]
    assert is_ours(connection)


def test_a_log_of_queries_shows_what_was_sent(connection, monkeypatch):
    monkeypatch.setattr(connection, "force_debug_cursor", True)

    save(connection, "it's")

    insert = "INSERT INTO note (text, number) VALUES ('it''s', 1)"
    assert connection.queries[-1]["sql"] == insert


def test_what_is_put_around_queries_sees_them_and_may_change_them(connection):
    seen = []

    def tag(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        seen.append((sql, rest[0]))
        return execute(f"{sql} /* shop */", *rest)

    with connection.execute_wrapper(tag):
        assert save(connection, "one") == 1

    assert seen == [(SAVE, ["one", 1])]
    assert texts(connection) == ["one"]


def test_a_block_on_the_database_blocks_it_too(connection, monkeypatch):
    def refuse(self: BaseDatabaseWrapper) -> None:
        raise RuntimeError("no database here")

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "ensure_connection", refuse)
        with pytest.raises(RuntimeError, match="no database here"):
            save(connection, "one")

    assert texts(connection) == []


def test_async_code_is_refused(connection):
    async def within() -> None:
        save(connection, "one")

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(within())


def test_another_thread_is_refused(connection):
    raised: list[Exception] = []

    def elsewhere() -> None:
        try:
            save(connection, "one")
        except DatabaseError as error:
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert "thread" in str(raised[0])


def test_a_lost_connection_is_an_outage_and_a_new_one_goes_on(connection):
    save(connection, "one")
    terminate(connection)

    with pytest.raises(OperationalError):
        save(connection, "two")
    assert connection.errors_occurred
    connection.close_if_unusable_or_obsolete()

    with cursor_of(connection) as cursor:
        cursor.execute(NOTE)
    assert save(connection, "three") == 1


def test_a_site_with_health_checks_gets_a_sound_connection(connection, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    monkeypatch.setattr(connection, "health_check_enabled", True)
    save(connection, "one")
    connection.health_check_done = False
    terminate(connection)

    with cursor_of(connection) as cursor:
        cursor.execute(NOTE)

    assert save(connection, "two") == 1


def test_notifications_that_come_meanwhile_are_heard(connection):
    channel, heard = f"note_{uuid4().hex}", []
    save(connection, "one")
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {channel}")
    connection.connection.add_notify_handler(heard.append)
    with psycopg.connect(postgresql.url(), autocommit=True) as other:
        other.execute(f"NOTIFY {channel}, 'hello'")

    save(connection, "two")

    assert [each.payload for each in heard] == ["hello"]


@contextmanager
def interrupted_after(seconds: float):
    main = threading.get_ident()
    timer = threading.Timer(seconds, partial(signal.pthread_kill, main, signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def test_ctrl_c_ends_a_statement_that_takes_long(connection):
    long = Planned("long", "SELECT pg_sleep(%s::float)")
    began = time.monotonic()

    with (
        pytest.raises(KeyboardInterrupt),
        interrupted_after(0.3),
        cursor_of(connection) as cursor,
    ):
        cursor.execute(long, ["60"])

    assert time.monotonic() - began < 30
    assert save(connection, "one") == 1


def test_after_a_fork_the_new_connection_prepares_for_itself(alias, connection):
    for number in range(7):
        save(connection, str(number))
    pid = os.fork()
    if pid == 0:
        try:
            connections[alias].connection = None
            with connections[alias].cursor() as cursor:
                cursor.execute(NOTE)
            os._exit(0 if save(connections[alias], "child") == 1 else 1)
        finally:
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert save(connection, "parent") == 1
