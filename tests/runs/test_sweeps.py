"""The upkeep that repairs what the hand-over allows to break."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.tasks import TaskResultStatus
from django.utils import timezone

from errands.queue.models import TaskRow
from errands.runs import sweeps
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.states import State
from tests.runs import jobs
from tests.runs.conftest import stored
from tests.runs.engines import RemoteEngine, Worker

type NewRun = Callable[..., Run]
type TakeOver = Callable[..., Possession]

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = timezone.now() - timedelta(hours=1)


def test_a_run_left_in_the_outbox_is_dispatched(worker: Worker, new_run: NewRun) -> None:
    run = left_in_the_outbox(new_run(backend=worker.alias))

    dispatched = sweeps.dispatch_what_was_left()
    worker.drain()

    assert dispatched == 1
    assert stored(run.pk).state == State.SUCCEEDED


def test_a_run_just_created_is_left_to_its_caller(new_run: NewRun) -> None:
    run = new_run()
    Run.objects.update(dispatched_at=None, dispatched_task=None)

    assert sweeps.dispatch_what_was_left() == 0
    assert stored(run.pk).dispatched_task is None


def test_a_run_claimed_by_a_sweep_that_died_is_dispatched_by_the_next(
    new_run: NewRun,
) -> None:
    run = left_in_the_outbox(new_run())
    Run.objects.update(dispatched_at=LONG_AGO)

    assert sweeps.dispatch_what_was_left() == 1
    assert stored(run.pk).dispatched_task


def test_of_two_sweeps_one_dispatches(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = left_in_the_outbox(new_run())
    seen_by_both = stored(run.pk)
    tasks_before = TaskRow.objects.count()

    outcomes = [sweeps._dispatch_again(seen_by_both) for _ in range(2)]

    assert outcomes == [True, False]
    assert TaskRow.objects.count() == tasks_before + 1


def test_an_ended_run_is_not_dispatched(new_run: NewRun) -> None:
    left_in_the_outbox(new_run())
    Run.objects.update(state=State.CANCELLED)

    assert sweeps.dispatch_what_was_left() == 0


def test_a_run_that_cannot_be_enqueued_holds_up_no_other(
    remote_worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 1)
    monkeypatch.setattr(RemoteEngine, "is_away", True)
    hopeless = left_in_the_outbox(new_run(backend="remote"))
    healthy = left_in_the_outbox(new_run())
    older = LONG_AGO - timedelta(minutes=1)
    Run.objects.filter(pk=hopeless.pk).update(created_at=older)

    first = sweeps.dispatch_what_was_left()
    second = sweeps.dispatch_what_was_left()

    assert (first, second) == (0, 1)
    assert stored(healthy.pk).dispatched_task


def test_a_job_nobody_knows_any_more_fails_after_a_day(new_run: NewRun) -> None:
    run = left_in_the_outbox(new_run())
    Run.objects.update(job="shop.jobs.Removed")

    sweeps.dispatch_what_was_left()
    state_after_an_hour = stored(run.pk).state
    Run.objects.update(created_at=LONG_AGO - timedelta(days=1), dispatched_at=None)
    sweeps.dispatch_what_was_left()

    assert state_after_an_hour == State.QUEUED
    assert stored(run.pk).state == State.FAILED


def test_a_run_whose_task_is_gone_is_ended(worker: Worker, new_run: NewRun) -> None:
    run = dispatched_long_ago(new_run(backend=worker.alias))
    TaskRow.objects.all().delete()
    RemoteEngine.tasks.clear()

    ended = sweeps.end_runs_without_a_task()

    assert ended == 1
    assert stored(run.pk).state == State.FAILED
    assert stored(run.pk).error_message == "The work on this was lost on our side."


def test_a_cancelling_run_whose_task_is_gone_is_cancelled(
    worker: Worker, new_run: NewRun
) -> None:
    run = dispatched_long_ago(new_run(backend=worker.alias))
    Run.objects.update(state=State.CANCELLING)
    TaskRow.objects.all().delete()
    RemoteEngine.tasks.clear()

    sweeps.end_runs_without_a_task()

    assert stored(run.pk).state == State.CANCELLED


def test_a_run_whose_tasks_end_went_unheard_is_ended(
    worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dispatched_long_ago(new_run(jobs.explode, backend=worker.alias))
    monkeypatch.setattr("errands.runs.reconcile.end_with", lambda result: False)
    worker.drain()

    ended = sweeps.end_runs_without_a_task()

    assert ended == 1
    assert stored(run.pk).error_message == "Something went wrong on our side."


def test_a_run_taken_over_before_its_task_was_recorded_is_ended_as_well(
    remote_worker: Worker, new_run: NewRun, take_over: TakeOver
) -> None:
    run = left_in_the_outbox(new_run(backend="remote"))
    take_over(run, task_id="gone")

    ended = sweeps.end_runs_without_a_task()

    assert ended == 1
    assert stored(run.pk).state == State.FAILED


def test_a_run_whose_task_waits_or_runs_is_left_alone(
    worker: Worker, new_run: NewRun
) -> None:
    dispatched_long_ago(new_run(backend=worker.alias))

    while_it_waits = sweeps.end_runs_without_a_task()
    worker.claim()
    while_it_runs = sweeps.end_runs_without_a_task()

    assert (while_it_waits, while_it_runs) == (0, 0)
    assert Run.objects.open().count() == 1


def test_the_task_that_took_over_counts_not_the_one_recorded(
    remote_worker: Worker, new_run: NewRun, take_over: TakeOver
) -> None:
    run = dispatched_long_ago(new_run(backend="remote"))
    recorded = stored(run.pk).responsible_task
    RemoteEngine.tasks["duplicate"] = RemoteEngine.tasks[recorded]
    RemoteEngine.tasks["at work"] = type(RemoteEngine.tasks[recorded])(
        jobs.export, [str(run.pk), 1], id="at work", status=TaskResultStatus.RUNNING
    )
    RemoteEngine.tasks[recorded].status = TaskResultStatus.SUCCESSFUL
    take_over(run, task_id="at work")

    assert sweeps.end_runs_without_a_task() == 0
    assert stored(run.pk).state == State.RUNNING


def test_a_long_queue_hides_no_run_for_ever(
    shared_worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 2)
    monkeypatch.setattr(sweeps, "_patrol", sweeps.Patrol())
    runs = [dispatched_long_ago(new_run()) for _ in range(5)]
    TaskRow.objects.filter(uuid=stored(runs[-1].pk).responsible_task).delete()

    ended = [sweeps.end_runs_without_a_task() for _ in range(3)]

    assert ended == [0, 0, 1]


def test_the_patrol_starts_again_from_the_oldest(
    shared_worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 2)
    patrol = sweeps.Patrol()
    runs = [dispatched_long_ago(new_run()) for _ in range(3)]

    rounds = [[run.pk for run in patrol.next_runs()] for _ in range(3)]

    first, second, third = (run.pk for run in runs)
    assert rounds == [[first, second], [third], [first, second]]


def test_an_engine_that_is_not_configured_any_more_stops_no_sweep(
    new_run: NewRun, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = dispatched_long_ago(new_run())
    Run.objects.update(backend="removed")
    orphan = dispatched_long_ago(new_run())
    TaskRow.objects.all().delete()

    ended = sweeps.end_runs_without_a_task()

    assert ended == 1
    assert stored(orphan.pk).state == State.FAILED
    assert str(unknown.pk) in caplog.text


def test_results_that_have_expired_are_deleted_with_their_files(
    possession: Possession, site: Path
) -> None:
    jobs.write_orders(possession)
    possession.succeed()
    Run.objects.update(expires_at=LONG_AGO)

    expired = sweeps.expire_results()

    run = stored(possession.run.pk)
    assert expired == 1
    assert list(run.results) == []
    assert (run.state, run.is_expired) == (State.SUCCEEDED, True)
    assert not any(path.is_file() for path in site.rglob("*"))


def test_a_slow_storage_holds_up_no_sweep_for_long(
    new_run: NewRun,
    take_over: TakeOver,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeps, "EXPIRY_SECONDS", 0)
    for _ in range(2):
        succeeding = take_over(new_run())
        jobs.write_orders(succeeding)
        succeeding.succeed()
    Run.objects.update(expires_at=LONG_AGO)

    assert [sweeps.expire_results() for _ in range(3)] == [1, 1, 0]
    assert not any(path.is_file() for path in site.rglob("*"))


def test_results_are_kept_until_they_expire(possession: Possession) -> None:
    jobs.write_orders(possession)
    possession.succeed()
    Run.objects.update(expires_at=timezone.now() + timedelta(minutes=1))

    assert sweeps.expire_results() == 0
    assert list(stored(possession.run.pk).results) == ["orders.csv"]


def test_a_result_no_storage_deletes_keeps_its_row_for_the_next_sweep(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.write_orders(possession)
    possession.succeed()
    Run.objects.update(expires_at=LONG_AGO)

    def refuse(storage: FileSystemStorage, name: str) -> None:
        raise OSError("The storage is away.")

    with monkeypatch.context() as away:
        away.setattr(FileSystemStorage, "delete", refuse)
        while_away = sweeps.expire_results()
    afterwards = sweeps.expire_results()

    assert (while_away, afterwards) == (0, 1)


def left_in_the_outbox(run: Run) -> Run:
    """Make a run look as if its caller had died before enqueueing."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM errands_task")
    RemoteEngine.tasks.clear()
    Run.objects.filter(pk=run.pk).update(
        dispatched_at=None, dispatched_task=None, created_at=LONG_AGO
    )
    run.refresh_from_db()
    return run


def dispatched_long_ago(run: Run) -> Run:
    """Make a run look as if it had been dispatched a while ago."""
    Run.objects.filter(pk=run.pk).update(dispatched_at=LONG_AGO)
    run.refresh_from_db()
    return run
