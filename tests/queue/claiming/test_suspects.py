"""What had started in a process that died runs alone, and nothing else does."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.signals import task_finished
from django.utils import timezone

from errands import has_failed, task_discarded
from errands.conf import settings
from errands.exceptions import TaskTimeout
from errands.queue.claiming.picking import QueuePicker
from errands.queue.claiming.selection import Selection
from errands.queue.claiming.suspects import IdlePicker, SuspectPicker, suspects_wait
from errands.queue.living import rescuing
from errands.queue.models import QueueRow, ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.options import TaskOptions
from errands.tasks.outcomes import AttemptError, Interrupted, Retry, Snoozed
from errands.tasks.registry import registry
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def suspects(new_worker):
    """Return a function that makes suspects of what is ready."""

    def make() -> list[int]:
        worker = new_worker()
        claims = worker.claim(limit=100)
        worker.die(*claims)
        return [claim.id for claim in claims]

    return make


def test_a_suspect_is_in_nobodys_way_and_only_claimed_as_one(suspects, worker):
    result = tasks.nothing.enqueue()
    (suspect,) = suspects()
    tasks.nothing.enqueue()

    ordinary = worker.claim()
    alone = worker.claim_suspect()

    assert [claim.id for claim in ordinary] != [suspect]
    assert [claim.id for claim in alone] == [suspect]
    assert (alone[0].attempt, alone[0].crashes, alone[0].token) == (1, 1, 2)
    assert worker.succeed(alone) == {suspect}
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_suspects_are_claimed_one_by_one_the_most_urgent_first(suspects, worker):
    tasks.nothing.enqueue()
    tasks.nothing.using(priority=50).enqueue()
    later, urgent = sorted(suspects())

    taken = [worker.claim_suspect()[0].id for _ in range(2)]

    assert taken == [urgent, later]
    assert worker.claim_suspect() == []


def test_a_suspect_that_somebody_is_cancelling_keeps_no_quarantine_waiting(
    suspects, worker, store
):
    result = tasks.nothing.enqueue()
    suspects()
    has_asked, may_commit = threading.Event(), threading.Event()
    # On SQLite nobody else can write before it commits.
    seconds = 0 if connection.vendor == "sqlite" else 60

    def cancel() -> None:
        with transaction.atomic():
            store.backend.cancel(result.id)
            has_asked.set()
            may_commit.wait(seconds)
        connection.close()

    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    has_asked.wait(60)
    claims = worker.claim_suspect()
    may_commit.set()
    cancelling.join()

    assert claims == []


def test_two_quarantines_never_claim_the_same_suspect(suspects, new_worker):
    tasks.nothing.enqueue_many([((), {})] * 2)
    made = suspects()

    taken = [new_worker().claim_suspect()[0].id for _ in range(2)]

    assert taken == made


@pytest.mark.parametrize(
    "outcome",
    [Interrupted(), Snoozed(timedelta()), None],
    ids=["interrupted", "snoozed", "never started"],
)
def test_a_suspect_that_is_given_back_is_still_one(suspects, worker, store, outcome):
    tasks.nothing.enqueue()
    suspects()
    claims = worker.claim_suspect()

    if outcome is None:
        store.release(claims)
    else:
        worker.settle(claims, outcome)

    assert worker.claim() == []
    assert len(worker.claim_suspect()) == 1


def test_a_suspect_that_has_raised_is_none_any_more(suspects, worker):
    tasks.nothing.enqueue()
    suspects()
    raised = AttemptError.of(ValueError("no luck"))

    worker.settle(worker.claim_suspect(), Retry(timedelta(), raised))

    assert TaskRow.objects.get().state == TaskState.SCHEDULED


def test_a_snoozed_suspect_waits_until_it_is_due(suspects, worker, store):
    tasks.nothing.enqueue()
    suspects()

    worker.settle(worker.claim_suspect(), Snoozed(timedelta(hours=1)))

    assert worker.claim_suspect() == []
    assert not suspects_wait(store, Selection())
    TaskRow.objects.update(run_at=timezone.now() - timedelta(seconds=1))
    assert suspects_wait(store, Selection())


def test_suspects_of_paused_and_unwanted_queues_wait(suspects, worker, store):
    tasks.nothing.using(queue_name="mail").enqueue()
    suspects()

    QueueRow.objects.create(name="mail", paused_at=timezone.now())
    paused = worker.claim_suspect()
    QueueRow.objects.all().delete()
    unwanted = worker.claim_suspect("default")
    too_low = worker.claim_suspect(min_priority=1)
    too_high = worker.claim_suspect(max_priority=-1)

    assert paused == unwanted == too_low == too_high == []
    assert len(worker.claim_suspect("ma*", min_priority=0, max_priority=0)) == 1


def test_a_suspect_keeps_to_the_limit_it_shares(suspects, worker, new_worker):
    tasks.nothing.enqueue_many([((), {})] * 2)
    first, second = suspects()
    TaskRow.objects.update(concurrency_key="shared", concurrency_limit=1)

    taken = worker.claim_suspect()
    refused = new_worker().claim_suspect()
    slot = TaskRow.objects.get(id=first).slot
    worker.succeed(taken)

    assert [claim.id for claim in taken] == [first]
    assert slot == 0
    assert refused == []
    assert [claim.id for claim in new_worker().claim_suspect()] == [second]


def test_suspects_of_a_full_key_call_nobody_and_hide_no_other(
    suspects, worker, new_worker, store
):
    tasks.nothing.using(concurrency=("shared", 1)).enqueue()
    new_worker().claim()
    tasks.nothing.enqueue_many([((), {})] * 30)
    shared = {"concurrency_key": "shared", "concurrency_limit": 1}
    TaskRow.objects.filter(id__in=suspects()).update(**shared)
    before = suspects_wait(store, Selection())
    tasks.nothing.enqueue()
    (free,) = suspects()

    (claim,) = worker.claim_suspect()

    assert (before, claim.id) == (False, free)


def test_a_burst_is_not_drained_while_a_suspect_waits(suspects, store):
    tasks.nothing.enqueue()
    suspects()

    assert not store.is_drained(Selection())


def test_it_is_drained_while_a_suspect_is_not_due(suspects, store):
    tasks.nothing.enqueue()
    suspects()
    TaskRow.objects.update(run_at=timezone.now() + timedelta(hours=1))

    assert store.is_drained(Selection())


def test_a_suspect_can_be_cancelled(suspects, store):
    result = tasks.nothing.enqueue()
    suspects()

    assert store.backend.cancel(result.id)
    result.refresh()
    assert result.status == TaskResultStatus.FAILED


def test_a_quarantine_takes_nothing_while_it_holds_something(suspects, worker, store):
    tasks.nothing.enqueue_many([((), {})] * 2)
    suspects()
    picker = SuspectPicker(store, Selection())

    busy = picker.claim(worker.identity.id, 5, held=["default"])
    free = picker.claim(worker.identity.id, 5)

    assert busy == []
    assert len(free) == 1
    assert not picker.is_drained()


def test_a_quarantine_waits_a_while_for_more_suspects(suspects, worker, store):
    tasks.nothing.enqueue()
    suspects()
    now = [100.0]
    picker = SuspectPicker(store, Selection(), patience=15, clock=lambda: now[0])
    now[0] += 20
    (claim,) = picker.claim(worker.identity.id, 1)
    store.release([claim])
    worker.claim_suspect()

    now[0] += 14
    assert not picker.is_drained()
    now[0] += 2
    assert picker.is_drained()


def test_without_a_quarantine_a_suspect_runs_when_nothing_else_does(
    suspects, worker, store
):
    tasks.nothing.enqueue()
    (suspect,) = suspects()
    tasks.nothing.enqueue()
    reports = [0]
    alone = SuspectPicker(store, Selection())
    picker = IdlePicker(QueuePicker(store, Selection()), alone, lambda: reports[0])

    taken = [
        [claim.id for claim in picker.claim(worker.identity.id, 5, held=held)]
        for held in ([], ["default"], [], ["default"])
    ]

    assert suspect not in taken[0]
    assert taken[1:] == [[], [suspect], []]


def test_without_a_quarantine_nobody_looks_for_suspects_until_some_are_seen(
    suspects, worker, store
):
    reports = [0]
    alone = SuspectPicker(store, Selection())
    picker = IdlePicker(QueuePicker(store, Selection()), alone, lambda: reports[0])
    picker.claim(worker.identity.id, 5)
    tasks.nothing.enqueue()
    suspects()

    unseen = picker.claim(worker.identity.id, 5)
    reports[0] += 1
    seen = picker.claim(worker.identity.id, 5)

    assert (len(unseen), len(seen)) == (0, 1)


def test_an_overdue_task_is_charged_its_attempt_and_comes_back(worker, store):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(max_attempts=2)
    (claim,) = worker.claim()

    kill_overdue(worker, claim)

    row = TaskRow.objects.get()
    assert (row.state, row.attempt, row.crashes) == (TaskState.SCHEDULED, 1, 0)
    assert timedelta(seconds=4) < row.run_at - timezone.now() < timedelta(seconds=5)
    result.refresh()
    assert result.errors[0].exception_class_path == "errands.exceptions.TaskTimeout"


def test_an_overdue_task_without_attempts_left_has_failed(worker, finished):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(max_attempts=1)
    (claim,) = worker.claim()

    kill_overdue(worker, claim)

    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert "a task was past its timeout" in result.errors[0].traceback
    assert finished == [result.id]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"retry_on": (ValueError,)}, ResultStatus.FAILED),
        ({"discard_on": (TaskTimeout,)}, ResultStatus.DISCARDED),
    ],
    ids=["retry_on", "discard_on"],
)
def test_an_overdue_task_that_tries_no_timeout_again_has_ended(
    worker, finished, monkeypatch, options, status
):
    changed = replace(tasks.nothing, options=TaskOptions(**options))
    monkeypatch.setattr(registry, "find", lambda path: changed)
    result = tasks.nothing.enqueue()
    discarded: list[str] = []
    failed: list[bool] = []

    def note(task_result: TaskResult, **kwargs: object) -> None:
        discarded.append(task_result.id)

    def judge(task_result: TaskResult, **kwargs: object) -> None:
        failed.append(has_failed(task_result))

    task_discarded.connect(note)
    task_finished.connect(judge)
    kill_overdue(worker, *worker.claim())
    task_discarded.disconnect(note)
    task_finished.disconnect(judge)

    is_discarded = status == ResultStatus.DISCARDED
    assert ResultRow.objects.get().status == status
    assert finished == [result.id]
    assert discarded == [result.id] * is_discarded
    assert failed == [not is_discarded]


def test_what_ran_beside_an_overdue_task_is_given_back_uncharged(worker, new_worker):
    tasks.nothing.enqueue_many([((), {})] * 3)
    late, *others = worker.claim()

    rescued = kill_overdue(worker, late)

    assert [rescue.is_suspect for rescue in rescued] == [False] * 3
    again = new_worker().claim()
    assert [claim.id for claim in again] == [claim.id for claim in others]
    assert {(claim.attempt, claim.crashes) for claim in again} == {(1, 0)}


def test_an_overdue_task_that_must_not_run_twice_is_lost(worker, store):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(at_most_once=True, max_attempts=F("max_attempts") + 3)
    (claim,) = worker.claim()
    store.begin(claim)

    kill_overdue(worker, claim)

    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert not TaskRow.objects.exists()


def test_a_task_that_must_not_run_twice_is_lost_where_a_neighbour_was_overdue(
    worker, store, finished
):
    tasks.nothing.enqueue_many([((), {})] * 2)
    TaskRow.objects.update(at_most_once=True)
    late, neighbour = worker.claim()
    store.begin(neighbour)

    kill_overdue(worker, late)

    assert not TaskRow.objects.filter(id=neighbour.id).exists()
    assert str(neighbour.uuid) in finished


def test_crashes_make_a_suspect_until_they_are_too_many(suspects, new_worker, finished):
    result = tasks.nothing.enqueue()
    suspects()

    for _ in range(settings().crashes - 1):
        worker = new_worker()
        worker.die(*worker.claim_suspect())

    assert not TaskRow.objects.exists()
    assert finished == [result.id]


def kill_overdue(worker, *claims):
    """Do what a supervisor does about a child in which tasks are overdue."""
    ids = {claim.id for claim in claims}
    cause = "killed because a task was past its timeout and would not end"
    return rescuing.rescue_worker(
        worker.store, worker.identity.id, overdue=ids, cause=cause
    )
