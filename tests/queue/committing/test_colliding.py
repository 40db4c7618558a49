"""Transactions that meet: none waits in a circle, and the loser is run again."""

import pytest
from django.db import OperationalError, connection, connections, transaction

from errands.queue.committing import colliding
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements import statements_for
from errands.queue.statements.mysql.dialect import MySQLStatements
from tests.queue.crowd import Crowd

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = 1000
LEVELS = {
    "mysql": ["read committed", "repeatable read"],
    "postgresql": [None],
    "sqlite": [None],
}


class Collision(Exception):
    sqlstate = "40P01"


@pytest.fixture
def at_level(monkeypatch):
    """Let the connections that threads open work at an isolation level."""

    def choose(level: str | None) -> None:
        if level is not None:
            options = connections.settings["default"]["OPTIONS"]
            monkeypatch.setitem(options, "isolation_level", level)

    return choose


@pytest.fixture
def deadlock(monkeypatch):
    """An error that this database's statements take for a collision."""
    error = OperationalError(1213, "Deadlock found when trying to get lock")
    error.__cause__ = Collision()
    statements = statements_for(connection)
    if connection.vendor == "sqlite":
        monkeypatch.setattr(type(statements), "has_collided", lambda self, error: True)
    return error


@pytest.mark.parametrize("number", [1213, 1205, 1020, 1467])
def test_mysql_has_several_names_for_a_collision(number: int):
    refused = OperationalError(number, "…")

    assert MySQLStatements().has_collided(refused)
    assert not MySQLStatements().has_collided(OperationalError(2006, "gone away"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", LEVELS[connection.vendor])
def test_a_crowd_of_workers_and_enqueuers_meets_no_deadlock(at_level, level):
    at_level(level)
    crowd = Crowd(total=TASKS, at_once=4 if connection.vendor == "sqlite" else 20)

    crowd.run()

    assert len(crowd.ended) == len(set(crowd.ended)) == TASKS
    assert ResultRow.objects.count() == TASKS
    assert not TaskRow.objects.exists()


def test_a_transaction_that_collided_is_run_again(deadlock):
    errors = [deadlock, deadlock]

    def act() -> str:
        if errors:
            raise errors.pop()
        return "through"

    assert colliding.again_after_collisions(connection, act) == "through"


def test_one_that_collides_again_and_again_is_given_up(deadlock, monkeypatch):
    monkeypatch.setattr(colliding.time, "sleep", lambda seconds: None)
    attempts = []

    def act() -> None:
        attempts.append(1)
        raise deadlock

    with pytest.raises(OperationalError):
        colliding.again_after_collisions(connection, act)

    assert len(attempts) == len(colliding.LONGEST_PAUSES) + 1


def test_inside_a_transaction_of_the_callers_nothing_is_run_again(deadlock):
    attempts = []

    def act() -> None:
        attempts.append(1)
        raise deadlock

    with pytest.raises(OperationalError), transaction.atomic():
        colliding.again_after_collisions(connection, act)

    assert len(attempts) == 1


def test_nor_where_the_caller_commits_by_hand(deadlock):
    """What the caller did before would be gone, and nobody would know it."""
    attempts = []

    def act() -> None:
        attempts.append(1)
        raise deadlock

    transaction.set_autocommit(False)
    try:
        with pytest.raises(OperationalError):
            colliding.again_after_collisions(connection, act)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)

    assert len(attempts) == 1


def test_another_error_is_not_run_again():
    attempts = []

    def act() -> None:
        attempts.append(1)
        raise OperationalError(2006, "Server has gone away")

    with pytest.raises(OperationalError, match="gone away"):
        colliding.again_after_collisions(connection, act)

    assert len(attempts) == 1
