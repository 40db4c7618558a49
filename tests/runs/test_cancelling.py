"""Cancelling a run, whatever its attempt does meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from django.tasks import TaskResultStatus, task_backends

from errands.runs import cancelling
from errands.runs.ending import end
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.states import State
from tests.runs import jobs
from tests.runs.conftest import stored
from tests.runs.engines import Worker

type NewRun = Callable[..., Run]
type TakeOver = Callable[..., Possession | None]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_waiting_run_is_cancelled_at_once_and_its_task_with_it(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(backend=worker.alias)

    run.cancel()

    assert run.state == stored(run.pk).state == State.CANCELLED
    assert run.finished_at is not None
    task = task_backends[worker.alias].get_result(run.responsible_task)
    assert task.status == TaskResultStatus.FAILED


def test_a_cancelled_run_is_not_attempted_even_if_its_task_is(
    worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(backend=worker.alias)
    monkeypatch.setattr(cancelling, "_cancel_waiting_task", lambda run: None)
    run.cancel()
    ended = Run.objects.values().get()

    worker.drain()

    assert Run.objects.values().get() == ended


def test_a_running_run_is_asked_to_stop(new_run: NewRun, take_over: TakeOver) -> None:
    run = new_run()
    take_over(run)

    run.cancel()

    assert run.state == State.CANCELLING
    assert stored(run.pk).finished_at is None


def test_a_running_job_stops_at_its_next_checkpoint(
    worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(jobs.work_until_stopped, backend=worker.alias)
    monkeypatch.setattr(
        "errands.runs.progress.ProgressWriter.write",
        lambda writer: stored(run.pk).cancel(),
    )

    worker.drain()

    assert stored(run.pk).state == State.CANCELLED


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_run_stays_as_it_is(new_run: NewRun, state: State) -> None:
    run = new_run()
    Run.objects.update(state=state)
    before = Run.objects.values().get()

    run.cancel()

    assert Run.objects.values().get() == before
    assert run.state == state


def test_a_run_given_back_while_it_is_cancelled_is_cancelled(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(possession.run.pk)

    def end_then_give_back(*args: Any, **kwargs: Any) -> bool:
        ended = end(*args, **kwargs)
        if stored(run.pk).state == State.RUNNING:
            possession.interrupted()
        return ended

    monkeypatch.setattr(cancelling, "end", end_then_give_back)

    run.cancel()

    assert run.state == stored(run.pk).state == State.CANCELLED
