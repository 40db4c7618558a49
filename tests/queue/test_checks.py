"""What is said of a database before anything goes wrong with it."""

import pytest
from django.db import connections
from django.tasks import task_backends


@pytest.fixture
def mysql(monkeypatch):
    """The default database as one of MySQL's, as far as checks look."""
    connection = connections["default"]
    monkeypatch.setattr(connection, "vendor", "mysql")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    return connection.settings_dict["OPTIONS"]


@pytest.fixture
def sqlite(monkeypatch):
    """The default database as one of SQLite's, as far as checks look."""
    connection = connections["default"]
    options = {"transaction_mode": "IMMEDIATE"}
    monkeypatch.setattr(connection, "vendor", "sqlite")
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    return options


def found() -> list[str]:
    return [message.id for message in task_backends["default"].check()]


def test_mysql_at_djangos_own_isolation_level_is_well(mysql):
    assert found() == []


def test_mysql_at_read_committed_in_any_spelling_is_well(mysql):
    mysql["isolation_level"] = "READ COMMITTED"

    assert found() == []


@pytest.mark.parametrize("level", ["repeatable read", "serializable", None])
def test_mysql_at_another_isolation_level_is_an_error(mysql, level):
    mysql["isolation_level"] = level

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E004"
    assert f"isolation_level={level!r}" in message.msg
    assert "'isolation_level' out of DATABASES['default']" in message.hint


def test_a_database_that_commits_by_hand_is_an_error(monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "AUTOCOMMIT", False)

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E006"
    assert "AUTOCOMMIT" in message.hint


def test_a_database_without_a_queue_is_an_error(monkeypatch):
    monkeypatch.setattr(connections["default"], "vendor", "oracle")

    assert found() == ["errands.E003"]


@pytest.mark.parametrize(
    "command",
    [
        "PRAGMA journal_mode=WAL",
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        "PRAGMA synchronous=NORMAL;\npragma main.journal_mode\t= 'wal'",
        "PRAGMA journal_mode(WAL)",
        'PRAGMA journal_mode ( "wal" )',
    ],
)
def test_sqlite_in_wal_mode_in_any_spelling_is_well(sqlite, command):
    sqlite["init_command"] = command

    assert found() == []


@pytest.mark.parametrize(
    "command", ["", "PRAGMA journal_mode", "PRAGMA journal_mode = DELETE; -- no WAL"]
)
def test_sqlite_in_another_mode_is_a_warning(sqlite, command):
    sqlite["init_command"] = command

    assert found() == ["errands.W001"]


def test_sqlite_that_locks_late_is_a_warning(sqlite):
    sqlite |= {"transaction_mode": "DEFERRED", "init_command": "PRAGMA journal_mode=WAL"}

    assert found() == ["errands.W001"]


@pytest.mark.parametrize("attempts", ["3", 0, -1, True, 2.5, 10_001])
def test_attempts_that_no_task_could_have_are_an_error(settings, attempts):
    set_attempts(settings, attempts)

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E005"
    assert message.msg == (
        f"TASKS['default']['OPTIONS']['MAX_ATTEMPTS'] is {attempts!r}; it is a whole "
        "number from 1 to 10,000."
    )


@pytest.mark.parametrize("attempts", [None, 1, 10_000])
def test_attempts_that_a_task_could_have_are_well(settings, attempts):
    set_attempts(settings, attempts)

    assert found() == []


def set_attempts(settings, attempts: object) -> None:
    default = {**settings.TASKS["default"], "OPTIONS": {"MAX_ATTEMPTS": attempts}}
    settings.TASKS = {**settings.TASKS, "default": default}
