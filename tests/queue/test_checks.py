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


def test_a_database_without_a_queue_is_an_error(monkeypatch):
    monkeypatch.setattr(connections["default"], "vendor", "oracle")

    assert found() == ["errands.E003"]
