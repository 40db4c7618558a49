"""What a worker process sets for itself before it works, and what it leaves."""

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from errands.worker.slots import Slots
from errands.worker.supervising import child
from errands.worker.supervising.child import (
    collect_rarely,
    show_on_demand,
    take_short_turns,
)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before, turn = gc.get_threshold(), sys.getswitchinterval()
    yield
    sys.setswitchinterval(turn)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_cycles_are_looked_for_rarely() -> None:
    gc.set_threshold(2000, 7, 8)

    collect_rarely()

    assert gc.get_threshold() == (50_000, 7, 8)
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("first", [0, 50_000])
def test_a_site_that_knows_better_keeps_what_it_has_set(first: int) -> None:
    gc.set_threshold(first, 7, 8)

    collect_rarely()

    assert gc.get_threshold() == (first, 7, 8)


@pytest.mark.parametrize(("before", "after"), [(0.005, 0.001), (0.02, 0.02)])
def test_turns_are_short_unless_the_site_has_set_others(
    before: float, after: float
) -> None:
    sys.setswitchinterval(before)

    take_short_turns()

    assert sys.getswitchinterval() == pytest.approx(after)


def test_stacks_are_printed_at_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[int] = []
    monkeypatch.setattr(faulthandler, "enable", lambda _: None)
    monkeypatch.setattr(faulthandler, "register", lambda at, _: registered.append(at))

    show_on_demand()

    assert registered == [signal.SIGUSR1]


def test_a_site_keeps_the_signal_that_it_has_another_use_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered: list[int] = []
    monkeypatch.setattr(faulthandler, "enable", lambda _: None)
    monkeypatch.setattr(faulthandler, "register", lambda at, _: registered.append(at))
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    show_on_demand()
    signal.signal(signal.SIGUSR1, before)

    assert registered == []


def test_a_copy_ends_the_processes_of_its_tasks_and_none_of_its_supervisor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_the_supervisor, of_a_task = Mock(), Mock()
    there = [of_the_supervisor]

    def work(*told: object) -> bool:
        there.append(of_a_task)
        return True

    library = SimpleNamespace(active_children=lambda: list(there))
    monkeypatch.setitem(sys.modules, "multiprocessing", library)
    monkeypatch.setattr(child, "work", work)
    monkeypatch.setattr(child, "say_what_is_left", lambda: None)
    monkeypatch.setattr(os, "_exit", sys.exit)
    Slots.create(tmp_path / "slots", places=1).close()

    with pytest.raises(SystemExit) as end:
        child.main(str(tmp_path / "slots"), "{}")

    assert end.value.code == 0
    of_a_task.terminate.assert_called_once_with()
    of_the_supervisor.terminate.assert_not_called()
