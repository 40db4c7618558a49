"""What every worker does now and then."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.utils import timezone

from errands.queue.claiming.selection import Selection
from errands.queue.claims import Settlement
from errands.queue.living import liveness
from errands.queue.living.liveness import WorkerIdentity
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import TaskState
from errands.queue.writing import pruning
from errands.sidecar import sidecar
from errands.tasks import sweeps
from errands.tasks.interrupting import Control
from errands.tasks.outcomes import Succeeded
from errands.worker import working_off
from errands.worker.upkeep import Upkeep
from errands.worker.workplace import Attempted, Workplace
from tests.testapp import tasks
from tests.worker.conftest import claim_of


@pytest.fixture
def upkeep(real_workplace: Workplace) -> Upkeep:
    return Upkeep(real_workplace)


def test_due_tasks_become_ready_and_the_courier_is_woken(upkeep, real_workplace):
    tasks.nothing.using(run_after=timedelta(hours=1)).enqueue()
    TaskRow.objects.update(run_at=timezone.now() - timedelta(seconds=1))

    upkeep.keep_up()

    assert TaskRow.objects.get().state == TaskState.READY
    assert real_workplace.outbox.get_nowait() is None


@pytest.fixture
def standing_clock(monkeypatch) -> None:
    """Let whatever upkeep does take no time."""
    clock = SimpleNamespace(monotonic=lambda: 5.0)
    monkeypatch.setattr("errands.worker.upkeep.time", clock)


@pytest.mark.usefixtures("standing_clock")
def test_it_looks_again_after_a_second_or_when_the_next_task_is_due(upkeep):
    without = upkeep.keep_up()
    tasks.nothing.using(run_after=timedelta(seconds=0.5)).enqueue()
    upkeep._workplace.bells.upkeep.ring()
    upkeep.announce_for(1.0)

    soon = upkeep.keep_up()

    assert without == 1.0
    assert 0 <= soon <= 0.5


@pytest.mark.usefixtures("standing_clock")
def test_with_a_waker_at_work_it_looks_each_six_seconds(upkeep, real_workplace):
    real_workplace.bells.wire(is_wired=True)

    pause = upkeep.keep_up()

    assert pause == 6.0


@pytest.mark.usefixtures("standing_clock")
def test_while_tasks_run_it_looks_for_their_cancels_each_second(upkeep, real_workplace):
    real_workplace.bells.wire(is_wired=True)
    real_workplace.controls[1, 1] = Control()

    pause = upkeep.keep_up()

    assert pause == 1.0


def test_between_two_looks_nobody_asks_what_is_due(upkeep, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(upkeep._store, "next_due", lambda: asked.append(1))

    upkeep.keep_up()
    upkeep.keep_up()

    assert len(asked) == 1


def test_a_task_that_somebody_else_stages_makes_no_busy_loop(upkeep, monkeypatch):
    monkeypatch.setattr(upkeep._store, "next_due", timedelta)
    monkeypatch.setattr(upkeep._store, "stage", lambda limit: 0)
    upkeep.keep_up()  # Connects, and sweeps for the first time.
    upkeep._look_at = 0.0

    pause = upkeep.keep_up()

    assert 0.04 < pause <= 0.05


def test_what_a_worker_without_a_row_holds_is_rescued(upkeep, real_workplace):
    tasks.nothing.enqueue()
    real_workplace.store.claim(uuid4(), Selection(), 1)

    upkeep.keep_up()

    row = TaskRow.objects.get()
    assert (row.state, row.crashes) == (TaskState.READY, 1)


def test_nobody_is_taken_for_lost_while_the_database_may_be_why_they_are_silent(
    real_workplace,
):
    upkeep = Upkeep(real_workplace, may_judge=lambda: False)
    tasks.nothing.enqueue()
    real_workplace.store.claim(uuid4(), Selection(), 1)

    upkeep.keep_up()

    row = TaskRow.objects.get()
    assert (row.state, row.crashes) == (TaskState.RUNNING, 0)


def test_sweeps_run_once_per_interval(upkeep, monkeypatch):
    swept: list[int] = []
    monkeypatch.setattr(sweeps, "_sweeps", [lambda: swept.append(1)])

    upkeep.keep_up()
    upkeep.keep_up()

    assert swept == [1]


def test_announcements_nobody_had_time_for_are_made(upkeep, real_workplace):
    now = timezone.now()
    settlement = Settlement(claim_of(1), Succeeded(None), now, now, "anna")
    unknown = Attempted(settlement, None)
    real_workplace.overdue.put(unknown)

    upkeep.announce_for(0.05)

    assert upkeep.announcer.count == 1
    assert real_workplace.overdue.empty()


def test_an_error_nobody_thought_of_ends_no_upkeep(upkeep, monkeypatch, caplog):
    def stumble() -> None:
        raise RuntimeError("a stone")

    monkeypatch.setattr(upkeep._store, "next_due", stumble)

    pause = upkeep.try_to_keep_up()

    assert pause == 1.0
    assert "a stone" in caplog.text


@pytest.fixture
def rested(monkeypatch) -> None:
    """Let no sweep rest because of another test."""
    monkeypatch.setattr(sweeps, "_resting", {})


@pytest.mark.usefixtures("rested")
def test_what_is_no_longer_kept_is_deleted_however_much_it_is(upkeep, monkeypatch):
    monkeypatch.setattr("errands.queue.sweeps.BATCH", 1)
    monkeypatch.setattr(
        "errands.queue.store.Store.prune", lambda store: pruning.prune(store.alias, 1)
    )
    tasks.nothing.enqueue_many([((), {})] * 4)
    working_off.work_off()
    *old, young = ResultRow.objects.values_list("id", flat=True)
    long_ago = timezone.now() - timedelta(days=400)
    ResultRow.objects.filter(id__in=old).update(finished_at=long_ago)
    monkeypatch.setattr(sweeps, "_resting", {})

    upkeep.keep_up()

    assert list(ResultRow.objects.values_list("id", flat=True)) == [young]


@pytest.mark.usefixtures("rested")
def test_the_rows_of_workers_that_have_long_been_gone_are_deleted(upkeep):
    identity = WorkerIdentity.of_this_process(uuid4(), "anna")
    liveness.register("default", identity, timedelta(hours=-2))

    upkeep.keep_up()

    rows = sidecar().execute(
        "SELECT id FROM errands_worker WHERE id = %s", [identity.id.hex]
    )
    assert list(rows) == []


def test_a_blocked_task_whose_slot_is_free_is_let_through(upkeep):
    tasks.nothing.using(concurrency=("shared", 1)).enqueue()
    TaskRow.objects.update(state=TaskState.BLOCKED)

    upkeep.keep_up()

    assert TaskRow.objects.get().state == TaskState.READY


def test_a_queue_without_work_is_asked_one_question_by_each_sweep(
    upkeep, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(sweeps, "_sweeps", [])
    upkeep.keep_up()
    upkeep._sweep_at = 0.0

    with django_assert_num_queries(1):
        upkeep.keep_up()


def test_to_look_for_old_results_is_one_question(
    transactional_db, django_assert_num_queries
):
    with django_assert_num_queries(1):
        assert pruning.prune("default") == 0


def test_what_is_wrong_with_the_queue_keeps_no_other_sweep_from_its_turn(
    upkeep, monkeypatch
):
    def broken() -> None:
        raise RuntimeError("a row like no other")

    done: list[int] = []
    monkeypatch.setattr(upkeep._store, "states", broken)
    monkeypatch.setattr(sweeps, "_sweeps", [lambda: done.append(1)])

    upkeep.keep_up()
    upkeep.keep_up()

    assert done == [1]
