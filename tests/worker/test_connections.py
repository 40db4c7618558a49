"""Connections that were cut while nobody used them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from unittest.mock import patch

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from errands.worker import connections as worker_connections
from errands.worker.attempts.mysql_sessions import closed_when_cut_off
from errands.worker.connections import (
    callers_transactions,
    clean_connections,
    kept,
    renew_after_outage,
    renew_connections,
)
from errands.worker.outage import turns
from tests.testapp.models import Account
from tests.worker import cutting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    kept.note_asked()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return what lists the connections that were asked."""
    answers, told = worker_connections._answers, list[object]()
    monkeypatch.setattr(
        worker_connections, "_answers", lambda it: told.append(it) or answers(it)
    )
    return told


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever does nothing be idle at once."""
    monkeypatch.setattr(worker_connections, "IDLE_SECONDS", -1.0)


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have connections from a pool of one, where the database can have a pool."""
    if connection.vendor != "postgresql":
        yield
        return
    told = connection.settings_dict
    options = {**told["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}}
    monkeypatch.setitem(told, "CONN_MAX_AGE", 0)
    monkeypatch.setitem(told, "OPTIONS", options)
    yield
    connection.close()
    connection.close_pool()


def cut_off() -> int:
    """Cut this thread's connection from another thread."""
    connection.ensure_connection()
    number = cutting.number()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(cutting.cut, number).result()
        pool.submit(connections.close_all).result()
    if not number:
        connection.connection.close()
    return number


@pytest.mark.usefixtures("idle")
def test_one_that_was_cut_while_its_thread_was_idle_is_replaced():
    number = cut_off()
    clean_connections()

    renew_connections()

    assert cutting.number() != number or number == 0


def test_one_that_was_cut_by_an_outage_is_replaced_at_once(monkeypatch):
    clean_connections()
    number = cut_off()
    monkeypatch.setattr(turns, "missed", turns.missed + 1)

    renew_connections()

    assert cutting.number() != number or number == 0


def test_one_that_still_answers_after_an_outage_is_replaced(monkeypatch):
    connection.ensure_connection()
    before = connection.connection
    clean_connections()
    monkeypatch.setattr(turns, "missed", turns.missed + 1)

    renew_connections()
    connection.ensure_connection()

    # A server that has handed over to another one answers, and refuses to write.
    assert connection.connection is not before


def test_an_outage_in_the_middle_of_an_attempt_is_not_forgotten(monkeypatch):
    connection.ensure_connection()
    monkeypatch.setattr(turns, "missed", turns.missed + 1)
    clean_connections()

    renew_connections()
    renewed = connection.connection
    connection.ensure_connection()
    opened = connection.connection
    renew_connections()

    assert renewed is None
    assert connection.connection is opened


def test_nor_is_one_in_the_middle_of_a_transaction_of_the_callers(monkeypatch):
    connection.ensure_connection()
    before = connection.connection
    monkeypatch.setattr(turns, "missed", turns.missed + 1)
    with transaction.atomic(), callers_transactions():
        clean_connections()

    renew_connections()
    connection.ensure_connection()

    assert connection.connection is not before


def test_where_there_are_no_connections_nobody_looks_for_them_after_a_success():
    looked = []

    def attempts() -> None:
        for has_succeeded in (True, True, False, True):
            with patch.object(ConnectionHandler, "all", return_value=[]) as look:
                clean_connections(has_succeeded=has_succeeded)
            looked.append(look.called)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(attempts).result()

    assert looked == [True, False, True, False]


def test_what_is_opened_where_there_were_none_is_cleaned_after_a_success_too():
    def attempts() -> list[list[str]]:
        idle = clean_connections(has_succeeded=True)
        connection.set_autocommit(False)
        Account.objects.create()
        return [idle, clean_connections(has_succeeded=True)]

    with ThreadPoolExecutor(1) as pool:
        left_open = pool.submit(attempts).result()

    assert left_open == [[], ["default"]]
    assert not Account.objects.exists()


def test_a_connection_that_came_half_way_is_cleaned_after_the_failure_it_was(monkeypatch):
    def break_off(self: BaseDatabaseWrapper) -> None:
        self.connection.close()
        raise self.Database.OperationalError("the server goes away")

    def half_open() -> tuple[object, object]:
        clean_connections(has_succeeded=True)
        with pytest.raises(OperationalError):
            connection.ensure_connection()
        came = connection.connection
        clean_connections()
        return came, connection.connection

    wrapper = type(connections["default"])
    monkeypatch.setattr(wrapper, "init_connection_state", break_off)
    with ThreadPoolExecutor(1) as pool:
        came, left = pool.submit(half_open).result()

    assert came is not None
    assert left is None


@pytest.mark.usefixtures("pooled")
def test_no_session_of_before_an_outage_is_had_from_a_pool(monkeypatch):
    number = cutting.number()
    monkeypatch.setattr(turns, "missed", turns.missed + 1)

    renew_connections()

    assert cutting.number() != number or number == 0


@pytest.mark.usefixtures("pooled")
def test_nor_is_one_that_is_not_trusted_when_its_attempt_has_ended():
    number = cutting.number()
    kept.distrust()

    clean_connections()
    renew_connections()

    assert cutting.number() != number or number == 0


@pytest.mark.usefixtures("pooled")
def test_nor_is_one_that_was_left_inside_a_transaction():
    number = cutting.number()
    transaction.set_autocommit(False)

    left_open = clean_connections()

    assert left_open == ["default"]
    assert cutting.number() != number or number == 0


def test_a_loop_opens_its_own_anew_where_another_has_met_an_outage(monkeypatch):
    connection.ensure_connection()
    before = connection.connection

    renew_after_outage()
    kept_without_one = connection.connection is before
    monkeypatch.setattr(turns, "missed", turns.missed + 1)
    renew_after_outage()

    assert kept_without_one
    assert connection.connection is None


def test_nobody_is_asked_while_one_task_follows_the_other(asked):
    for _ in range(10):
        connection.ensure_connection()
        clean_connections()
        renew_connections()

    assert asked == []


@pytest.mark.usefixtures("idle")
def test_one_that_works_is_kept():
    connection.ensure_connection()
    before = connection.connection
    clean_connections()

    renew_connections()

    assert connection.connection is before


@pytest.mark.usefixtures("idle")
def test_that_of_a_callers_transaction_is_left_alone(asked):
    with transaction.atomic():
        renew_connections()

    assert asked == []


def test_those_of_an_interrupted_attempt_are_closed():
    connection.ensure_connection()
    before = connection.connection

    clean_connections(was_interrupted=True)
    connection.ensure_connection()

    assert connection.connection is not before


# What each database has of locks that a session keeps until somebody ends them.
LOCKING = {
    "mysql": ["LOCK TABLES testapp_account WRITE"],
    "postgresql": ["BEGIN", "LOCK TABLE testapp_account"],
    # Its next write would lock the file.
    "sqlite": ["PRAGMA locking_mode = EXCLUSIVE"],
}


def test_locks_that_a_task_leaves_behind_end_with_its_attempt():
    with closed_when_cut_off(), connection.cursor() as cursor:
        for statement in LOCKING[connection.vendor]:
            cursor.execute(statement)
    before = connection.connection

    clean_connections()

    assert connection.connection is not before
    assert others_may_write()


def test_a_database_in_memory_is_kept(monkeypatch):
    engine = "django.db.backends.sqlite3"
    others = ConnectionHandler({"default": {"ENGINE": engine, "NAME": ":memory:"}})
    monkeypatch.setattr(worker_connections, "connections", others)
    with others["default"].cursor() as cursor:
        cursor.execute("CREATE TABLE only_here (id INTEGER)")

    with closing(others["default"].connection):
        clean_connections()

        assert others["default"].introspection.table_names() == ["only_here"]


def test_a_cursor_that_is_kept_keeps_no_transaction():
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    Account.objects.create(name="never committed")
    cursor.execute("SELECT 1 UNION ALL SELECT 2")
    cursor.fetchone()

    clean_connections()

    assert others_may_write()


def others_may_write() -> bool:
    """Write where a lock that is left would be met, and return whether that is all."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(Account.objects.create, name="Anna").result(60)
        pool.submit(connections.close_all).result()
    return [account.name for account in Account.objects.all()] == ["Anna"]
