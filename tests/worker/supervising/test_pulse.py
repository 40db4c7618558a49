"""A process that lets no thread run is noticed, and no other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from errands.worker.slots import Slots
from errands.worker.supervising import pulse
from errands.worker.supervising.pulse import Pulse, Silence, longest_silence

LOOK_SECONDS = 0.5


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Looks at a process of which the test is the pulse."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.clock = Clock()
        self.silence = Silence(slots, clock=self.clock)
        self.pid = os.getpid()

    def listen(self, seconds: float, *, every: float = LOOK_SECONDS) -> bool:
        """Look again and again for so long; return what the last look said."""
        is_hung = False
        for _ in range(round(seconds / every)):
            self.clock.now += every
            is_hung = self.silence.is_too_long(self.pid)
        return is_hung


@pytest.fixture
def listener() -> Iterator[Listener]:
    slots = Slots.private(1)
    yield Listener(slots)
    slots.close()


@pytest.mark.parametrize(
    ("configured", "seconds"),
    [
        ({}, 22.5),
        ({"LEASE": timedelta(seconds=6)}, 4.5),
        ({"LEASE": timedelta(seconds=10), "HEARTBEAT": timedelta(seconds=9)}, 5.0),
    ],
    ids=["by default", "a short lease", "rare heartbeats"],
)
def test_silence_ends_before_the_lease_can(settings, configured, seconds):
    settings.ERRANDS = configured

    assert longest_silence().total_seconds() == pytest.approx(seconds)


def test_a_process_is_hung_when_its_number_stands_still_for_too_long(listener):
    before = listener.listen(22.5)
    after = listener.listen(LOOK_SECONDS)

    assert (before, after) == (False, True)


def test_each_beat_ends_the_silence(listener):
    for _ in range(5):
        assert not listener.listen(22.5)
        listener.slots.beat()


def test_the_next_process_of_a_place_begins_anew(listener):
    listener.listen(22.5)

    listener.silence.begin()

    assert not listener.listen(22.5)


def test_who_was_suspended_too_was_not_listening(listener):
    listener.listen(20)

    listener.clock.now += 3600

    assert not listener.silence.is_too_long(listener.pid)


def test_a_process_that_somebody_has_stopped_is_not_hung(listener):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as it:
        os.kill(it.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, it.pid, os.WSTOPPED)
        listener.pid = it.pid

        while_stopped = listener.listen(60)
        it.kill()
        it.wait()

    assert not while_stopped


def test_a_thread_raises_the_number_for_as_long_as_it_runs(listener, monkeypatch):
    turns = iter([None, None, None])

    def sleep(seconds: float) -> None:
        assert 0 < seconds <= pulse.LONGEST_PERIOD_SECONDS
        next(turns)

    monkeypatch.setattr(pulse.time, "sleep", sleep)

    with pytest.raises(StopIteration):
        Pulse(listener.slots).run()

    assert listener.slots.beats == 4
