"""What is asked of an attempt from outside reaches its code, and nothing else."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import pytest

from errands.exceptions import TaskCancelled, TaskTimeout
from errands.tasks.interrupting import (
    REASONS,
    Control,
    Reason,
    raise_again_what_python_drops,
    run_interruptible,
)

ROUNDS = 3000


@pytest.fixture
def interrupting() -> Callable[..., None]:
    """Return a function that interrupts as soon as the code has begun."""

    def interrupt(control: Control, begun: threading.Event, *reasons) -> None:
        def act() -> None:
            begun.wait(60)
            for reason in reasons:
                control.interrupt(reason)

        threading.Thread(target=act, daemon=True).start()

    return interrupt


def spin(seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_an_exception_is_raised_in_the_code_that_runs(interrupting):
    control, begun = Control(), threading.Event()
    interrupting(control, begun, TaskTimeout)

    def run() -> None:
        begun.set()
        spin()

    with pytest.raises(TaskTimeout, match="longer than its timeout"):
        run_interruptible(control, run)


def test_what_was_asked_for_before_is_raised_at_the_first_line():
    control, lines = Control(), []
    control.interrupt(TaskCancelled)

    with pytest.raises(TaskCancelled):
        run_interruptible(control, lambda: spin() or lines.append("ran"))

    assert lines == []


def test_code_that_calls_into_c_is_interrupted_when_that_returns(interrupting):
    control, begun, slices = Control(), threading.Event(), []
    interrupting(control, begun, TaskCancelled)

    def run() -> None:
        for number in range(1000):
            begun.set()
            threading.Event().wait(0.01)
            slices.append(number)

    with pytest.raises(TaskCancelled):
        run_interruptible(control, run)

    assert len(slices) < 900


def test_a_cancel_passes_code_that_swallows_exceptions_and_a_timeout_does_not(
    interrupting,
):
    control, begun, swallowed = Control(), threading.Event(), []
    interrupting(control, begun, TaskTimeout, TaskCancelled)

    def run() -> None:
        while True:
            try:
                begun.set()
                spin()
            except Exception as error:  # noqa: BLE001 - as tasks do
                swallowed.append(type(error))

    with pytest.raises(TaskCancelled):
        run_interruptible(control, run)

    assert swallowed in ([TaskTimeout], [])
    assert control.cancel_requested


def test_code_that_swallows_everything_returns_what_it_returns(interrupting):
    control, begun = Control(), threading.Event()
    interrupting(control, begun, TaskCancelled)

    def run() -> str:
        try:
            begun.set()
            spin()
        except BaseException:  # noqa: BLE001 - as tasks do
            return "swallowed"
        return "undisturbed"

    assert run_interruptible(control, run) == "swallowed"


def test_all_finally_blocks_are_run(interrupting):
    control, begun, left = Control(), threading.Event(), []
    interrupting(control, begun, TaskCancelled)

    def run(depth: int = 20) -> None:
        try:
            if depth:
                run(depth - 1)
            begun.set()
            spin()
        finally:
            left.append(depth)

    with pytest.raises(TaskCancelled):
        run_interruptible(control, run)

    assert left == list(range(21))


def test_a_cooperative_attempt_is_told_and_not_interrupted():
    control = Control()

    def run() -> str:
        control.is_cooperative = True
        control.interrupt(TaskCancelled)
        return "asked" if control.cancel_requested else "not asked"

    assert run_interruptible(control, run) == "asked"


def test_what_the_code_raises_itself_counts():
    def run() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        run_interruptible(Control(), run)


def test_an_interruption_after_the_end_reaches_nobody():
    control = Control()
    run_interruptible(control, int)

    control.interrupt(TaskTimeout)

    spin(0.01)
    assert control.asked is TaskTimeout


def total(numbers: range) -> int:
    result = 0
    for number in numbers:
        result += number
    return result


class Shooter(threading.Thread):
    """Interrupts whatever runs, twice, at every possible moment."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.target: Control | None = None
        self.is_done = False

    def run(self) -> None:
        while not self.is_done:
            target = self.target
            if target is not None:
                target.interrupt(TaskTimeout)
                target.interrupt(TaskCancelled)
                self.target = None


@pytest.fixture
def shooter() -> Iterator[Shooter]:
    shooter, before = Shooter(), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    shooter.start()
    yield shooter
    shooter.is_done = True
    sys.setswitchinterval(before)
    shooter.join(60)


def test_no_exception_leaks_out_of_the_attempt_it_was_meant_for(shooter: Shooter):
    """Nothing but ``run_interruptible`` may raise here, and only for its own."""
    ends = {"returned": 0, "interrupted": 0}

    # Starved by others, the shooter may need more rounds to hit at all.
    for number in count():
        if number >= ROUNDS and all(ends.values()):
            break
        control, numbers = Control(), range(number % 400)
        shooter.target = control if number % 5 else None
        try:
            value = run_interruptible(control, partial(total, numbers))
        except REASONS:
            assert control.asked is not None
            ends["interrupted"] += 1
        else:
            assert value == sum(numbers)
            ends["returned"] += 1


class LockWithShots:
    """A lock; the attempt's n-th use of it is preceded by an interruption."""

    def __init__(self, control: Control, shots: dict[int, Reason]) -> None:
        self._control, self._shots = control, shots
        self._attempt = threading.get_ident()
        self._lock = threading.RLock()
        self._uses = 0

    def __enter__(self) -> None:
        if threading.get_ident() == self._attempt:
            self._uses += 1
            if reason := self._shots.pop(self._uses, None):
                shot = threading.Thread(target=self._control.interrupt, args=[reason])
                shot.start()
                shot.join()
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self.release()

    def release(self) -> None:
        self._lock.release()


class LockLeftTaken(LockWithShots):
    """A lock that an exception leaves taken, as from Python 3.14 on."""

    def __enter__(self) -> None:
        self._lock.acquire()
        self._uses += 1
        if reason := self._shots.pop(self._uses, None):
            self._control.asked = reason
            raise reason


OPENING, CLOSING, CLOSING_AGAIN = 1, 2, 3


@pytest.mark.parametrize(
    "shots",
    [
        {CLOSING: TaskTimeout},
        {CLOSING: TaskTimeout, CLOSING_AGAIN: TaskCancelled},
        {CLOSING: TaskCancelled, CLOSING_AGAIN: TaskTimeout},
    ],
)
def test_what_arrives_while_the_attempt_shuts_it_out_changes_nothing(shots):
    control = Control()
    control._lock = LockWithShots(control, shots)

    assert run_interruptible(control, lambda: "returned") == "returned"
    spin(0.01)

    assert shots == {}


@pytest.mark.parametrize(
    "shots",
    [
        {CLOSING: TaskTimeout},
        {CLOSING: TaskTimeout, CLOSING_AGAIN: TaskCancelled},
        {OPENING: TaskTimeout, CLOSING: TaskCancelled},
    ],
)
def test_a_lock_that_an_exception_left_taken_is_given_back(shots):
    control = Control()
    control._lock = LockLeftTaken(control, shots)

    with suppress(TaskTimeout):
        run_interruptible(control, lambda: "returned")

    other = threading.Thread(target=control.interrupt, args=[TaskCancelled], daemon=True)
    other.start()
    other.join(10)
    assert not other.is_alive()
    assert shots == {}


def test_what_arrives_after_the_code_has_raised_does_not_replace_that():
    control = Control()
    control._lock = LockWithShots(control, {CLOSING: TaskTimeout})

    def run() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        run_interruptible(control, run)


def test_what_arrives_before_the_first_line_keeps_it_from_running():
    control, lines = Control(), []
    control._lock = LockWithShots(control, {OPENING: TaskCancelled})

    with pytest.raises(TaskCancelled):
        run_interruptible(control, lambda: lines.append("ran"))

    assert lines == []


class Finalized:
    """Runs for a while when it is deleted."""

    def __init__(self, begun: threading.Event) -> None:
        self._begun = begun

    def __del__(self) -> None:
        self._begun.set()
        spin(0.5)


def test_an_interruption_that_hits_a_finalizer_comes_at_the_next_line(
    interrupting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    raise_again_what_python_drops()
    control, begun, lines = Control(), threading.Event(), []
    interrupting(control, begun, TaskCancelled)

    def run() -> None:
        finalized = Finalized(begun)
        del finalized
        spin()
        lines.append("ran")

    with pytest.raises(TaskCancelled):
        run_interruptible(control, run)

    assert lines == []


def test_what_else_a_finalizer_raises_is_told_as_before(monkeypatch: pytest.MonkeyPatch):
    told: list[type[BaseException] | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.exc_type))
    raise_again_what_python_drops()

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    Broken()

    assert told == [ValueError]
