"""A place for one child process."""

from pathlib import Path
from uuid import uuid4

import pytest

from errands.worker.options import WorkerOptions
from errands.worker.supervising import place
from errands.worker.supervising.place import Place, cause_of_death


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (3, "exit code 3"),
        (-9, "killed by signal 9 (SIGKILL)"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (-99, "killed by signal 99"),
    ],
)
def test_the_cause_of_death_is_told_in_words(code, cause):
    assert cause_of_death(code) == cause


class Child:
    """A child that ends when it is killed, or has ended before."""

    pid = 1

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def poll(self) -> int | None:
        """Return how it ended."""
        return self.code

    def kill(self) -> None:
        """End."""
        self.code = -9


@pytest.mark.parametrize(
    ("child", "blamed", "cause"),
    [
        (Child(), frozenset(), "killed because it would not stop"),
        (Child(-11), frozenset({7}), "killed by signal 11 (SIGSEGV)"),
    ],
    ids=["by us", "by itself"],
)
def test_of_a_child_that_we_kill_nothing_is_to_blame(tmp_path, child, blamed, cause):
    stopping = Place(tmp_path / "slots", WorkerOptions())
    stopping.slots.prepare(uuid4())
    stopping.slots.start(0, 7)
    stopping._process = child

    stopping.kill()
    loss = stopping.bury()

    assert loss is not None
    assert (loss.started, loss.cause) == (blamed, cause)
    stopping.slots.close()


@pytest.mark.parametrize(
    ("code", "blamed"),
    [(1, frozenset()), (-11, frozenset({7}))],
    ids=["it left", "it crashed"],
)
def test_who_leaves_when_told_to_has_not_been_killed(tmp_path, code, blamed):
    stopping = Place(tmp_path / "slots", WorkerOptions())
    stopping.slots.prepare(uuid4())
    stopping.slots.start(0, 7)
    stopping._process = Child(code)

    stopping.order(b"")
    loss = stopping.bury()

    assert loss is not None
    assert loss.started == blamed
    stopping.slots.close()


def test_pauses_between_children_double_to_half_a_minute(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(place.time, "monotonic", lambda: 5.0)
    crashing = Place(tmp_path / "slots", WorkerOptions())

    pauses = [crashing.next_pause() for _ in range(11)]

    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [30.0, 30.0]
    crashing.slots.close()


def test_a_child_that_lived_for_a_while_is_replaced_at_once(tmp_path: Path, monkeypatch):
    now = [5.0]
    monkeypatch.setattr(place.time, "monotonic", lambda: now[0])
    crashing = Place(tmp_path / "slots", WorkerOptions())
    for _ in range(11):
        crashing.next_pause()

    now[0] = 60.0

    assert crashing.next_pause() == 0.1
    crashing.slots.close()
