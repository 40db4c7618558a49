"""Runs whose task ends without them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.tasks import TaskResultStatus, task_backends
from django.tasks.base import TaskError
from django.tasks.signals import task_finished
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from errands.runs import reconcile
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.states import State
from tests.runs import jobs
from tests.runs.conftest import running_result, stored
from tests.runs.engines import Worker

type NewRun = Callable[..., Run]
type TakeOver = Callable[..., Possession | None]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_task_that_fails_before_taking_over_fails_its_run(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(jobs.explode, backend=worker.alias)

    worker.drain()

    ended = stored(run.pk)
    assert ended.state == State.FAILED
    assert ended.error_message == "Something went wrong on our side."
    assert ended.error_reference == f"{run.pk.hex[:8].upper()}-0"


def test_an_immediate_task_that_fails_fails_its_run(new_run: NewRun) -> None:
    run = new_run(jobs.explode, backend="immediate")

    assert stored(run.pk).state == State.FAILED


def test_a_discarded_task_fails_its_run_with_what_is_gone(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(jobs.discard, backend=worker.alias)

    worker.drain()

    ended = stored(run.pk)
    assert ended.state == State.FAILED
    assert ended.error_message == "What this was about no longer exists."


def test_a_task_that_crashes_too_often_fails_its_run(
    worker: Worker, new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run(backend=worker.alias)

    crash_until_the_cap(worker)

    ended = stored(run.pk)
    assert ended.state == State.FAILED
    assert ended.error_message == "This stopped unexpectedly, several times."


def test_a_task_cancelled_while_waiting_cancels_its_run(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(backend=worker.alias)
    backend = task_backends[worker.alias]

    backend.cancel(stored(run.pk).dispatched_task)  # type: ignore[attr-defined]

    assert stored(run.pk).state == State.CANCELLED


def test_a_task_that_returned_without_its_run_fails_it(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(jobs.forget, backend=worker.alias)

    worker.drain()

    ended = stored(run.pk)
    assert ended.state == State.FAILED
    assert ended.error_message == "The work on this was lost on our side."


def test_a_cancelling_run_whose_task_ends_is_cancelled(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(jobs.explode, backend=worker.alias)
    Run.objects.update(state=State.CANCELLING)

    worker.drain()

    assert stored(run.pk).state == State.CANCELLED


@pytest.mark.parametrize("status", [TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED])
def test_a_duplicate_task_that_ends_does_not_end_the_run(
    new_run: NewRun, take_over: TakeOver, status: TaskResultStatus
) -> None:
    run = new_run()
    take_over(run, task_id="the one at work")
    Run.objects.update(dispatched_task="duplicate")

    tell_finished(run, "duplicate", status)

    assert stored(run.pk).state == State.RUNNING


def test_a_task_that_was_not_recorded_does_not_end_a_waiting_run(
    new_run: NewRun,
) -> None:
    run = new_run()

    tell_finished(run, "unrecorded", TaskResultStatus.FAILED)

    assert stored(run.pk).state == State.QUEUED


def test_a_task_of_an_older_dispatch_does_not_end_the_run(new_run: NewRun) -> None:
    run = new_run()
    Run.objects.update(dispatch=2, dispatched_task="old")

    tell_finished(run, "old", TaskResultStatus.FAILED)

    assert stored(run.pk).state == State.QUEUED


def test_an_ended_run_is_not_ended_again(new_run: NewRun, take_over: TakeOver) -> None:
    run = new_run()
    possession = take_over(run, task_id="task")
    assert possession is not None
    possession.succeed()
    before = Run.objects.values().get()

    tell_finished(run, "task", TaskResultStatus.FAILED)

    assert Run.objects.values().get() == before


def test_the_owner_is_told_in_their_language(
    worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_in: list[str | None] = []
    monkeypatch.setattr(reconcile, "SOMETHING_WENT_WRONG", Spoken(told_in.append))
    new_run(jobs.explode, backend=worker.alias, language="de")

    worker.drain()

    assert told_in == ["de"]


def test_other_tasks_cost_no_query(new_run: NewRun) -> None:
    run = new_run()
    others: list[list[Any]] = [
        [],
        ["text", 1],
        [str(uuid4())],
        [str(uuid4()), "1"],
        [1, 2, 3],
    ]

    with CaptureQueriesContext(connection) as queries:
        for args in others:
            result = replace(running_result(run, "other"), args=args)
            task_finished.send(None, task_result=result)

    assert len(queries) == 0


def test_a_database_that_is_away_breaks_no_engine(
    new_run: NewRun,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = new_run()

    def away(result: object) -> bool:
        raise DatabaseError("server closed the connection unexpectedly")

    monkeypatch.setattr(reconcile, "end_with", away)

    tell_finished(run, "task", TaskResultStatus.FAILED)

    assert "its run waits for the sweep" in caplog.text


class Spoken:
    """A text that notes the language it is rendered in."""

    def __init__(self, note: Callable[[str | None], None]) -> None:
        self.note = note

    def __str__(self) -> str:
        self.note(translation.get_language())
        return "text"


def tell_finished(run: Run, task_id: str, status: TaskResultStatus) -> None:
    """Send what an engine sends when a task has ended."""
    failed = status == TaskResultStatus.FAILED
    error = TaskError(exception_class_path="builtins.ValueError", traceback="…")
    result = replace(
        running_result(run, task_id), status=status, errors=[error] if failed else []
    )
    task_finished.send(None, task_result=result)


def crash_until_the_cap(worker: Worker) -> None:
    """Claim whatever is ready and die, three times."""
    for _ in range(3):
        worker.claim()
        worker.rescue()
