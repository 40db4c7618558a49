"""Processes for suspects: opened when there are some, and not one too many."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError

from errands.worker.options import WorkerOptions
from errands.worker.supervising import quarantine as quarantine_module
from errands.worker.supervising.place import Place
from errands.worker.supervising.quarantine import Quarantine


class Town:
    """A quarantine, how many suspects wait, and the time."""

    def __init__(self, directory: Path) -> None:
        self.waiting = 0
        self.asked = 0
        self.now = 100.0
        self.is_away = False
        store = SimpleNamespace(alias="default")
        options = WorkerOptions(threads=2, queues="mail:1,*", name="anna")
        self.quarantine = Quarantine(
            options,
            store,  # type: ignore[arg-type]
            directory,
            clock=lambda: self.now,
        )

    def suspects_wait(self, *store_and_selection: object) -> bool:
        self.asked += 1
        if self.is_away:
            raise OperationalError
        return self.waiting > 0

    def open(self) -> Place | None:
        """Open a place, as the supervisor does at each tick, and let a child start."""
        place = self.quarantine.next_place()
        if place is not None:
            place._process = SimpleNamespace(poll=lambda: 0, kill=lambda: None)
        return place


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    town = Town(tmp_path)
    monkeypatch.setattr(quarantine_module, "suspects_wait", town.suspects_wait)
    return town


def test_nobody_is_asked_and_nothing_opened_while_nobody_calls(town: Town):
    town.waiting = 1

    assert town.open() is None
    assert town.asked == 0


def test_a_call_opens_one_place_at_once(town: Town):
    town.waiting = 3
    town.quarantine.call()

    place = town.open()

    assert place is not None
    assert place.options.quarantine
    assert place.options.queues == "mail,*"
    assert place.options.name == "anna-quarantine-1"
    assert (place.options.executors, place.options.coroutines) == (1, 1)
    assert town.open() is None


def test_a_call_for_suspects_that_somebody_else_has_run_opens_nothing(town: Town):
    town.quarantine.call()

    assert town.open() is None


def test_suspects_that_still_wait_after_a_while_get_more_places_up_to_the_threads(
    town: Town,
):
    town.waiting = 9
    town.quarantine.call()

    opened = []
    for _ in range(50):
        opened.append(town.open())
        town.now += 0.5

    # Two threads, and the pool's one.
    assert len([place for place in opened if place]) == 3
    assert [bool(place) for place in opened[:5]] == [True, False, False, False, True]


def test_an_empty_place_is_used_again(town: Town):
    town.waiting = 1
    town.quarantine.call()
    first = town.open()
    assert first is not None
    first.bury()

    town.quarantine.call()

    assert town.open() is first


def test_an_outage_opens_nothing_and_breaks_nothing(town: Town):
    town.is_away = True
    town.quarantine.call()

    assert town.open() is None


def test_a_process_that_is_there_has_two_seconds_before_there_is_one_more(town: Town):
    town.waiting = 1
    town.quarantine.call()
    assert town.open()
    town.waiting, town.now = 0, town.now + 5
    town.open()
    town.asked = 0

    town.waiting = 1
    town.quarantine.call()
    opened = []
    for _ in range(5):
        opened.append(bool(town.open()))
        town.now += 0.5

    assert opened == [False, False, False, False, True]
    assert town.asked == 1


def test_nobody_is_asked_while_a_process_waits_for_more_suspects(town: Town):
    town.waiting = 1
    town.quarantine.call()
    town.open()
    town.waiting, town.asked = 0, 0

    for _ in range(20):
        town.now += 0.5
        town.open()

    assert town.asked == 1


def test_a_full_disk_opens_nothing_and_is_asked_again(town: Town, monkeypatch, caplog):
    def refuse(*told: object) -> Place:
        raise OSError("No space left on device")

    town.waiting = 1
    town.quarantine.call()
    with monkeypatch.context() as patched:
        patched.setattr(quarantine_module, "Place", refuse)
        assert town.open() is None

    town.now += quarantine_module.OUTAGE_SECONDS

    assert town.open() is not None
    assert "No space left on device" in caplog.text
