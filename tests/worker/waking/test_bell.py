"""When those who wait look: on a ring, a little later, and now and then."""

import pytest

from errands.queue.committing.waking import WakeUp
from errands.worker.waking.bell import Bell, Bells


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[None]:
    return []


@pytest.fixture
def bell(clock: Clock, told: list[None]) -> Bell:
    return Bell(told.append, poll=0.25, clock=clock)


def test_a_ring_is_told_at_once(bell, told):
    bell.ring()

    assert told == [None]


def test_of_many_rings_one_in_eight_milliseconds_is_told(bell, told, clock):
    for _ in range(100):
        bell.ring()
        clock.now += 0.001

    assert len(told) == 13


def test_without_a_waker_somebody_looks_four_times_a_second(bell):
    assert bell.patience == 0.25


def test_with_a_waker_at_work_nobody_needs_to_look_for_six_seconds(bell):
    bell.is_wired = True

    assert bell.patience == 6.0


def test_after_a_ring_there_is_one_more_look_a_little_later(bell, clock):
    bell.ring()
    bell.look()
    soon = bell.patience

    clock.now += 0.025
    bell.look()

    assert soon == pytest.approx(0.025)
    assert bell.patience == 0.25


def test_a_look_that_began_before_that_does_not_count(bell, clock):
    bell.ring()
    clock.now += 0.024
    bell.look()

    assert bell.patience == pytest.approx(0.001)


def test_a_ring_that_was_not_told_is_looked_for_too(bell, told, clock):
    bell.ring()
    clock.now += 0.007
    bell.ring()

    clock.now += 0.015
    bell.look()

    assert len(told) == 1
    assert bell.patience == pytest.approx(0.01)


def test_each_call_rings_for_whom_it_is_meant(clock):
    heard: list[str] = []
    bells = Bells(
        Bell(lambda _: heard.append("courier"), poll=1, clock=clock),
        Bell(lambda _: heard.append("upkeep"), poll=1, clock=clock),
    )

    bells.ring(WakeUp.UPKEEP)
    bells.ring(WakeUp.READY)

    assert heard == ["upkeep", "courier"]
