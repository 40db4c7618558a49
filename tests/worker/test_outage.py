"""What a loop does while its database is away."""

import logging
import threading
import time

import pytest
from django.db import OperationalError, ProgrammingError

from errands.worker.outage import LONGEST_WAIT, SPACING, Outage, Turns


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def outage(pauses: list[float]) -> Outage:
    return Outage("courier", sleep=pauses.append)


def test_pauses_double_from_half_a_second_to_five(outage: Outage, pauses: list[float]):
    for _ in range(6):
        outage.endure(OperationalError("gone"))

    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_next_outage_begins_with_a_short_pause(outage: Outage, pauses: list[float]):
    outage.endure(OperationalError("gone"))
    outage.endure(OperationalError("gone"))
    outage.end()
    outage.endure(OperationalError("gone"))

    assert pauses == [0.5, 1.0, 0.5]


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    outage: Outage, caplog: pytest.LogCaptureFixture
):
    for _ in range(3):
        outage.endure(OperationalError("server closed\nthe connection"))
    outage.end()
    outage.end()

    assert caplog.messages == [
        "courier: waiting for the database: server closed the connection",
        "courier: the database is back",
    ]


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("no such table: errands_task"),
        ProgrammingError('relation "errands_task" does not exist'),
        ProgrammingError("(1146, \"Table 'shop.errands_task' doesn't exist\")"),
    ],
    ids=["SQLite", "PostgreSQL", "MariaDB"],
)
def test_missing_tables_are_waited_for_as_migrations(
    outage: Outage, error, caplog: pytest.LogCaptureFixture
):
    outage.endure(error)

    assert caplog.messages == [f"courier: waiting for migrations: {error}"]
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("missing", ['database "shop"', 'role "anna"'])
def test_a_missing_database_is_none_of_migrations(
    outage: Outage, missing: str, caplog: pytest.LogCaptureFixture
):
    outage.endure(OperationalError(f"FATAL: {missing} does not exist"))

    assert caplog.messages == [
        f"courier: waiting for the database: FATAL: {missing} does not exist"
    ]


def test_loops_take_turns_that_are_spaced_out():
    turns = Turns(clock=lambda: 100.0)

    taken = [turns.take(0.5) for _ in range(4)]

    assert taken == pytest.approx([100.5 + SPACING * loop for loop in range(4)])


def test_many_processes_share_what_one_may_do():
    turns = Turns(clock=lambda: 100.0)
    turns.share_among(4)

    first, second = turns.take(0.5), turns.take(0.5)

    assert second - first == pytest.approx(4 * SPACING)


def test_nobody_waits_for_ever_for_a_turn():
    turns = Turns(clock=lambda: 100.0)

    last = [turns.take(0.5) for _ in range(1000)][-1]

    assert last == 100.0 + LONGEST_WAIT


def test_the_first_answer_wakes_all_that_wait():
    turns = Turns()
    waiting = [threading.Thread(target=turns.wait, args=[15.0]) for _ in range(3)]
    for thread in waiting:
        thread.start()

    while any(thread.is_alive() for thread in waiting):
        turns.end()
        waiting[0].join(0.01)

    assert turns.take(0.5) - time.monotonic() < 1.0
