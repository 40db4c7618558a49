"""How a process is told to stop, and by whom."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from errands.worker.stopping import Stop, hearing
from errands.worker.supervising.lifeline import AT_ONCE, STOP, follow


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stop(clock: Clock) -> Stop:
    return Stop(25.0, clock=clock)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def followed(stop: Stop, pipe: tuple[int, int], orders: bytes) -> None:
    reading, writing = pipe
    os.write(writing, orders)
    os.close(writing)
    thread: threading.Thread = follow(reading, stop)
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_nobody_has_asked_for_anything_at_first(stop: Stop):
    assert not stop.is_requested
    assert not stop.is_overdue


def test_a_request_reaches_running_attempts_and_gives_them_the_grace(
    stop: Stop, clock: Clock
):
    stop.request()
    clock.now += 24.9
    within = stop.is_overdue
    clock.now += 0.1

    assert stop.control.should_stop
    assert not within
    assert stop.is_overdue


def test_asking_again_does_not_prolong_the_grace(stop: Stop, clock: Clock):
    stop.request()
    clock.now += 20
    stop.request()
    clock.now += 5

    assert stop.is_overdue


def test_one_sigterm_is_a_request_and_the_second_an_order(stop: Stop):
    stop.terminate(15, None)
    after_one = stop.is_overdue
    stop.terminate(15, None)

    assert stop.is_requested
    assert not after_one
    assert stop.is_overdue


def test_a_lifeline_that_ended_and_one_sigterm_are_still_only_a_request(stop: Stop):
    stop.request()
    stop.terminate(15, None)

    assert not stop.is_overdue


@pytest.mark.parametrize("orders", [b"", STOP, STOP + STOP], ids=["end", "s", "ss"])
def test_a_lifeline_that_ends_is_a_request_however_it_ends(stop: Stop, pipe, orders):
    followed(stop, pipe, orders)

    assert stop.is_requested
    assert not stop.is_overdue


def test_a_lifeline_that_a_task_has_closed_is_a_request(stop: Stop):
    reading, writing = os.pipe()
    os.close(reading)

    follow(reading, stop).join(60)

    assert stop.is_requested
    os.close(writing)


def test_the_supervisor_can_order_to_stop_at_once(stop: Stop, pipe):
    followed(stop, pipe, STOP + AT_ONCE)

    assert stop.is_overdue


def test_a_signal_arrives_that_who_started_us_has_blocked() -> None:
    arrived: list[int] = []
    handler = signal.signal(signal.SIGUSR2, lambda number, frame: arrived.append(number))
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        signal.raise_signal(signal.SIGUSR2)
        before = [*arrived]
        with hearing(signal.SIGUSR2):
            within = [*arrived]
        signal.raise_signal(signal.SIGUSR2)
        after = [*arrived]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        signal.signal(signal.SIGUSR2, handler)

    assert before == []
    assert within == [signal.SIGUSR2]
    assert after == within
