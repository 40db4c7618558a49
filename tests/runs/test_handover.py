"""From the caller to the attempt: the first two steps of the hand-over."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTask
from django.utils import timezone
from django.utils.functional import lazystr

from errands.queue.models import TaskRow
from errands.runs import handover
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.states import State
from tests.runs import jobs
from tests.runs.conftest import stored
from tests.runs.engines import RemoteEngine, Worker

type NewRun = Callable[..., Run]
type TakeOver = Callable[..., Possession | None]

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_created_run_is_dispatched_and_carried_to_its_end(
    worker: Worker, new_run: NewRun
) -> None:
    run = new_run(backend=worker.alias)

    worker.drain()

    ended = stored(run.pk)
    assert ended.state == State.SUCCEEDED
    assert ended.task_id == ended.dispatched_task
    assert (ended.attempt, ended.token) == (1, 1)
    assert ended.results["orders.csv"].text == "id,total\r\n1,9.90\r\n"


def test_a_rolled_back_caller_leaves_neither_run_nor_task(
    worker: Worker, new_run: NewRun
) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        new_run(backend=worker.alias)
        raise ZeroDivisionError

    assert Run.objects.count() == 0
    assert TaskRow.objects.count() == 0
    assert RemoteEngine.tasks == {}


def test_an_engine_elsewhere_is_told_on_commit(
    remote_worker: Worker, new_run: NewRun
) -> None:
    with transaction.atomic():
        run = new_run(backend="remote")
        told_inside = dict(RemoteEngine.tasks)

    assert told_inside == {}
    assert list(RemoteEngine.tasks) == [stored(run.pk).dispatched_task]


def test_an_engine_that_is_away_leaves_the_run_in_the_outbox(
    remote_worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RemoteEngine, "is_away", True)

    run = new_run(backend="remote")

    assert stored(run.pk).dispatched_task is None
    assert stored(run.pk).state == State.QUEUED


def test_an_immediate_engine_has_ended_the_run_when_create_returns(
    new_run: NewRun,
) -> None:
    run = new_run(backend="immediate")

    ended = stored(run.pk)
    assert ended.state == State.SUCCEEDED
    assert ended.dispatched_task


def test_a_queue_the_engine_does_not_have_raises_at_the_call(
    new_run: NewRun, settings: object
) -> None:
    backend = task_backends["remote"]
    backend.queues = {"default"}

    with pytest.raises(InvalidTask, match="Queue 'reports' is not valid"):
        new_run(backend="remote", queue_name="reports")

    assert Run.objects.count() == 0


def test_texts_are_rendered_in_the_runs_language_and_bounded(new_run: NewRun) -> None:
    title = lazystr("Accounts\0\r\nSet-Cookie: x" + "y" * 5_000_000)

    run = new_run(title=title, status="Getting\nready")

    assert run.title.startswith("Accounts Set-Cookie: xy")
    assert len(run.title) == 200
    assert stored(run.pk).status == "Getting ready"


def test_a_run_for_later_is_scheduled(new_run: NewRun) -> None:
    run = new_run(run_after=timezone.now() + timedelta(hours=1))

    assert stored(run.pk).state == State.SCHEDULED
    assert run.run_after is not None
    assert timedelta(minutes=59) < run.run_after - timezone.now() < timedelta(minutes=61)


def test_taking_over_notes_who_did(new_run: NewRun, take_over: TakeOver) -> None:
    run = new_run()

    possession = take_over(run, task_id="task", token=7)

    taken = stored(run.pk)
    assert possession is not None
    assert (possession.task_id, possession.token, possession.attempt) == ("task", 7, 1)
    assert (taken.state, taken.task_id, taken.token) == (State.RUNNING, "task", 7)
    assert taken.started_at is not None


def test_a_duplicate_task_gets_nothing(new_run: NewRun, take_over: TakeOver) -> None:
    run = new_run()
    take_over(run, task_id="first")

    duplicate = take_over(run, task_id="second", token=9)

    assert duplicate is None
    assert (stored(run.pk).task_id, stored(run.pk).attempt) == ("first", 1)


def test_a_later_attempt_takes_over_and_an_earlier_one_does_not(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    take_over(run, task_id="task", token=1)

    later = take_over(run, task_id="task", token=2)
    zombie = take_over(run, task_id="task", token=1)

    assert later is not None
    assert zombie is None
    assert (stored(run.pk).token, stored(run.pk).attempt) == (2, 2)


def test_started_at_is_that_of_the_first_attempt(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    take_over(run, token=1)
    first_started_at = stored(run.pk).started_at

    take_over(run, token=2)

    assert stored(run.pk).started_at == first_started_at


def test_a_task_of_an_older_dispatch_gets_nothing(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    Run.objects.update(dispatch=2)

    assert take_over(run, dispatch=1) is None


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_run_that_has_ended_is_not_taken_over(
    new_run: NewRun, take_over: TakeOver, state: State
) -> None:
    run = new_run()
    Run.objects.update(state=state)

    assert take_over(run) is None
    assert stored(run.pk).attempt == 0


def test_a_deleted_run_is_not_taken_over(new_run: NewRun, take_over: TakeOver) -> None:
    run = new_run()
    Run.objects.all().delete()

    with pytest.raises(ObjectDoesNotExist):
        stored(run.pk)
    assert take_over(run) is None


def test_a_cancelling_run_is_ended_by_the_attempt_that_comes_next(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    Run.objects.update(state=State.CANCELLING)

    assert take_over(run) is None
    assert stored(run.pk).state == State.CANCELLED


def test_without_a_context_the_first_to_come_keeps_the_run(new_run: NewRun) -> None:
    run = new_run()

    first = handover.take_over(run.pk, 1)
    second = handover.take_over(run.pk, 1)

    assert first is not None
    assert second is None


def test_a_status_for_the_pause_is_gone_in_the_next_attempt(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run(status="Getting ready")
    first = take_over(run, token=1)
    assert first is not None
    shown_at_first = stored(run.pk).status
    first.retry_later(timedelta(seconds=5))
    shown_between = stored(run.pk).status

    take_over(run, token=2)

    assert (shown_at_first, shown_between) == ("Getting ready", "Trying again")
    assert stored(run.pk).status == ""


def test_the_task_carries_what_the_run_asks_for(
    remote_worker: Worker, new_run: NewRun
) -> None:
    run = new_run(jobs.export, backend="remote", queue_name="reports", priority=7)

    (task,) = RemoteEngine.tasks.values()
    assert (task.task.queue_name, task.task.priority) == ("reports", 7)
    assert task.args == [str(run.pk), 1]
