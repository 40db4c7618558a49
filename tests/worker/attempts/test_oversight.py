"""Alarms ring for the attempt they were set for, and leave nothing behind."""

import threading
from collections.abc import Callable
from dataclasses import replace
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from errands.exceptions import TaskCancelled, TaskTimeout
from errands.tasks.interrupting import Control
from errands.worker.attempts.oversight import Alarms, relay_cancels
from errands.worker.workplace import Workplace
from tests.integration.processes import eventually

SOON, LATER, PATIENCE = 0.02, 3600.0, 10.0


class Heard(Control):
    """Tells when it is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.rung = threading.Event()

    def interrupt(self, reason: Any) -> None:
        super().interrupt(reason)
        self.rung.set()


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def asked(workplace: Workplace) -> Callable[..., None]:
    """Return a function that lets the store tell of cancels, and relays them."""

    def ask(*requests: tuple[int, int]) -> None:
        store = SimpleNamespace(cancel_requests=lambda worker: list(requests))
        relay_cancels(replace(workplace, store=store, controls=workplace.controls))

    return ask


def test_an_alarm_rings_when_the_time_is_over(alarms: Alarms):
    control = Heard()

    alarms.set(0, SOON, control)

    assert control.rung.wait(60)
    assert control.asked is TaskTimeout


def test_an_early_alarm_rings_although_a_late_one_was_set_before(alarms: Alarms):
    late, early = Heard(), Heard()
    alarms.set(0, LATER, late)
    eventually(lambda: alarms._wakes_at < inf, "it waits for the late one")

    alarms.set(1, SOON, early)

    assert early.rung.wait(60)
    assert late.asked is None


def test_every_alarm_of_many_rings(alarms: Alarms):
    controls = [Heard() for _ in range(200)]

    for place, control in enumerate(controls):
        alarms.set(place, SOON + place / 10_000, control)

    assert all(control.rung.wait(60) for control in controls)


def test_an_alarm_that_was_cleared_does_not_ring(alarms: Alarms):
    ended, next_one = Heard(), Heard()
    alarms.set(0, SOON, ended)
    alarms.clear(0)

    alarms.set(1, SOON * 2, next_one)

    assert next_one.rung.wait(60)
    assert ended.asked is None


def test_an_alarm_interrupts_once(alarms: Alarms):
    control, delivered = Heard(), []
    control.open(delivered.append)

    alarms.set(0, 0.0, control)
    assert control.rung.wait(60)
    alarms.ring()

    assert delivered == [TaskTimeout]


def test_quick_tasks_with_long_timeouts_leave_nothing_behind(alarms: Alarms):
    before = threading.active_count()

    for _ in range(10_000):
        alarms.set(0, LATER, Control())
        alarms.clear(0)

    assert not alarms._alarms
    assert threading.active_count() <= before + 1


def test_a_cancel_reaches_the_attempt_it_is_for(workplace: Workplace, asked):
    mine, other = Control(), Control()
    workplace.controls.update({(1, 1): mine, (2, 1): other})

    asked((1, 1))

    assert mine.asked is TaskCancelled
    assert other.asked is None


@pytest.mark.parametrize("request_", [(1, 2), (7, 1)], ids=["later token", "ended"])
def test_a_cancel_of_what_does_not_run_here_reaches_nobody(
    workplace: Workplace, asked, request_
):
    zombie = Control()
    workplace.controls[1, 1] = zombie

    asked(request_)

    assert zombie.asked is None


def test_the_thread_ends_with_the_last_alarm_and_begins_again(alarms: Alarms):
    for _ in range(2):
        before = set(threading.enumerate())
        alarms.set(1, SOON, Control())
        (thread,) = set(threading.enumerate()) - before
        alarms.clear(1)

        thread.join(PATIENCE)

        assert (thread.name, thread.is_alive()) == ("errands-alarms", False)


def test_a_thread_that_cannot_be_started_is_started_by_the_next_alarm(
    alarms: Alarms, monkeypatch
):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    control = Heard()
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(threading.Thread, "start", refuse)
        alarms.set(1, LATER, Control())
    alarms.set(2, SOON, control)

    assert control.rung.wait(PATIENCE)
