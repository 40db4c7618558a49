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


def test_an_option_beside_options_is_an_error(monkeypatch):
    monkeypatch.setitem(task_backends["default"].params, "DATABASE", "default")

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E001"
    assert message.msg == (
        "TASKS['default']['DATABASE'] stands beside OPTIONS, where nobody reads it. Move "
        "it into TASKS['default']['OPTIONS']."
    )


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("QUEUE", "Did you mean 'QUEUES'?"),
        ("queues", "Did you mean 'QUEUES'?"),
        ("ENQUEUE_ON_COMMIT", "Known: BACKEND, QUEUES, OPTIONS."),
    ],
)
def test_a_key_that_nobody_reads_is_an_error(monkeypatch, key, hint):
    monkeypatch.setitem(task_backends["default"].params, key, ["mail"])

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E001"
    assert message.msg == f"Unknown key {key!r} in TASKS['default']. {hint}"


def test_an_option_in_lower_case_is_refused_with_the_one_that_was_meant(monkeypatch):
    monkeypatch.setitem(task_backends["default"].options, "database", "default")

    (message,) = task_backends["default"].check()

    assert message.msg == (
        "Unknown option 'database' for TASKS['default']. Did you mean 'DATABASE'?"
    )


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


@pytest.mark.parametrize(
    ("key", "value", "takes"),
    [
        ("QUEUES", None, "a list of names of queues"),
        ("QUEUES", "mail", "a list of names of queues"),
        ("QUEUES", [["mail"]], "a list of names of queues"),
        ("OPTIONS", None, "a dict"),
        ("OPTIONS", ["DATABASE"], "a dict"),
    ],
)
def test_what_a_backend_cannot_be_made_of_is_an_error(settings, key, value, takes):
    change(settings, **{key: value})

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E007"
    assert message.msg == f"TASKS['default']['{key}'] is {value!r}; it takes {takes}."


@pytest.mark.parametrize("name", ["a:2", "a,b", "mail*", " a", "", None])
def test_a_queue_that_no_worker_could_name_is_an_error(settings, name):
    change(settings, QUEUES=["default", name])

    (message,) = task_backends["default"].check()

    assert message.id == "errands.E008"
    assert message.msg == (
        f"TASKS['default']['QUEUES'] names {name!r}, which no task can be in: a queue's "
        "name is one line of 1 to 100 characters, without ',', '*' and ':', which mean "
        "something to a worker's --queues."
    )


@pytest.mark.parametrize("queues", [["default", "two words"], ("mail",), {"ä"}, []])
def test_queues_that_a_worker_can_name_are_well(settings, queues):
    change(settings, QUEUES=queues)

    assert found() == []
    assert task_backends["default"].queues == set(queues)


def set_attempts(settings, attempts: object) -> None:
    change(settings, OPTIONS={"MAX_ATTEMPTS": attempts})


def change(settings, **params: object) -> None:
    default = settings.TASKS["default"] | params
    settings.TASKS = {**settings.TASKS, "default": default}
