"""What a site sweeps keeps nobody waiting."""

from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest
from django.utils import timezone

from errands.queue.models import TaskRow
from errands.queue.states import TaskState
from errands.tasks import sweeps
from errands.worker.sweeper import Sweeper
from errands.worker.upkeep import Upkeep
from tests.integration.processes import eventually
from tests.testapp import tasks


class Rounds:
    """A sweep that hangs until it is told to go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.goes_on = Event()

    def sweep(self) -> None:
        """Count the round, and hang."""
        self.begun += 1
        self.goes_on.wait(60)


@pytest.fixture
def rounds(monkeypatch) -> Iterator[Rounds]:
    rounds = Rounds()
    monkeypatch.setattr(sweeps, "_sweeps", [rounds.sweep])
    yield rounds
    rounds.goes_on.set()


@pytest.fixture
def sweeper(transactional_db: None) -> Sweeper:
    del transactional_db
    sweeper = Sweeper()
    sweeper.start()
    return sweeper


def test_a_sweep_that_hangs_keeps_no_task_from_being_due(real_workplace, rounds, sweeper):
    upkeep = Upkeep(real_workplace, sweep=sweeper.ask)
    upkeep.keep_up()
    eventually(lambda: rounds.begun == 1, "a round")
    tasks.nothing.using(run_after=timedelta(hours=1)).enqueue()
    TaskRow.objects.update(run_at=timezone.now() - timedelta(seconds=1))

    upkeep._look_at = upkeep._sweep_at = 0.0
    upkeep.keep_up()

    assert TaskRow.objects.get().state == TaskState.READY


def test_who_asks_during_a_round_gets_one_more(rounds, sweeper):
    sweeper.ask()
    eventually(lambda: rounds.begun == 1, "a round")
    sweeper.ask()
    sweeper.ask()

    rounds.goes_on.set()

    eventually(lambda: rounds.begun == 2, "one more")


def test_what_a_sweep_leaves_open_is_cleaned_and_an_error_ends_nothing(
    sweeper, monkeypatch
):
    done: list[str] = []

    def clean() -> None:
        done.append("cleaned")
        raise RuntimeError("a stone")

    monkeypatch.setattr(sweeps, "_sweeps", [lambda: done.append("swept")])
    monkeypatch.setattr("errands.worker.sweeper.clean_connections", clean)
    sweeper.ask()
    eventually(lambda: len(done) == 2, "a round")

    sweeper.ask()

    eventually(lambda: done == ["swept", "cleaned"] * 2, "one more")
