"""``work_off``: the calling process as a worker, for as long as it takes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, connection, transaction
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.signals import task_finished, task_started
from django.utils import timezone

from errands import ErrandsError, work_off
from errands.queue.claiming.selection import Selection
from errands.queue.living import liveness, rescuing
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements import statements_for
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
from tests.testapp import tasks
from tests.testapp.models import Account
from tests.worker.tasks import cancels_itself, never_twice_interrupted

LEASE = timedelta(seconds=30)

pytestmark = pytest.mark.django_db(transaction=True)


def living() -> set[str]:
    """Return who lives; tests before this one have left workers behind."""
    return set(liveness.living("default"))


@contextmanager
def heard_by(handler: Any) -> Iterator[None]:
    """Let Ctrl-C do something else in the block."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_ready_is_run_and_counted():
    tasks.add.enqueue(1)
    tasks.fail_once.enqueue()
    tasks.discard.enqueue()
    result = tasks.think.enqueue(7)

    assert work_off() == (2, 1)
    result.refresh()
    assert result.return_value == 7
    assert work_off() == (0, 0)


def test_an_attempt_that_will_be_retried_counts_as_failed():
    result = tasks.fail.enqueue()

    assert work_off(limit=1) == (0, 1)
    result.refresh()
    assert result.status == TaskResultStatus.READY
    assert len(result.errors) == 1


def test_what_a_worker_refuses_to_begin_with_is_refused(monkeypatch):
    tasks.nothing.enqueue()
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)

    with pytest.raises(ErrandsError, match=r"errands\.E006"):
        work_off()

    assert TaskRow.objects.get().state == TaskState.READY


@pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask")
def test_a_cancelled_attempt_is_no_failed_one():
    result = cancels_itself.enqueue()

    assert work_off() == (0, 0)
    assert ResultRow.objects.get(uuid=result.id).status == ResultStatus.CANCELLED


def test_a_limit_is_a_number_of_attempts():
    tasks.nothing.enqueue_many([((), {})] * 5)

    assert work_off(2) == (2, 0)
    assert work_off(limit=2) == (2, 0)
    assert work_off() == (1, 0)


def test_what_is_due_runs_and_what_is_not_waits():
    now = timezone.now()
    tasks.nothing.using(run_after=now + timedelta(hours=1)).enqueue()
    tasks.nothing.using(run_after=now + timedelta(milliseconds=1)).enqueue()
    TaskRow.objects.filter(run_at__lt=now + timedelta(minutes=1)).update(run_at=now)

    assert work_off() == (1, 0)


def test_queues_and_priorities_are_those_of_a_worker():
    tasks.echo.using(queue_name="mail").enqueue("mail")
    tasks.echo.using(queue_name="slow").enqueue("slow")
    tasks.echo.using(queue_name="mail", priority=50).enqueue("urgent")

    assert work_off(queues="mail", min_priority=10) == (1, 0)
    assert work_off(queues="m*", max_priority=10) == (1, 0)
    assert TaskRow.objects.get().queue == "slow"


def test_a_paused_queue_waits():
    Store("default").pause("mail")
    tasks.echo.using(queue_name="mail").enqueue("mail")

    assert work_off() == (0, 0)


def test_while_it_works_the_caller_is_a_worker_and_nobody_rescues_its_task():
    before, seen = living(), []

    def look(sender, task_result, **kwargs):
        seen.append((len(living() - before), rescuing.rescue_lost(Store("default"))))

    tasks.nothing.enqueue()
    task_started.connect(look)
    try:
        assert work_off() == (1, 0)
    finally:
        task_started.disconnect(look)

    assert seen == [(1, [])]
    assert living() <= before


def test_what_a_dead_worker_held_is_rescued_first():
    store, dead = Store("default"), liveness.WorkerIdentity.of_this_process(uuid4())
    liveness.register(store.alias, dead, LEASE)
    result = tasks.add.enqueue(1)
    store.claim(dead.id, Selection(), 1)
    liveness.heartbeat(store.alias, dead.id, timedelta(seconds=-60))

    assert work_off() == (1, 0)
    result.refresh()
    assert result.return_value == 2
    assert len(result.errors) == 1


def test_ctrl_c_reaches_the_caller_and_costs_the_task_nothing():
    before, result = living(), tasks.be_interrupted.enqueue()

    with pytest.raises(KeyboardInterrupt):
        work_off()
    result.refresh()

    assert result.status == TaskResultStatus.READY
    assert TaskRow.objects.get().attempt == 0
    assert living() <= before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_cancels_a_coroutine_and_gives_it_back():
    result = tasks.await_an_interruption.enqueue("a")

    with pytest.raises(KeyboardInterrupt):
        work_off()
    result.refresh()

    assert result.status == TaskResultStatus.READY
    assert (TaskRow.objects.get().attempt, result.errors) == (0, [])
    assert Account.objects.get().name == "a"


def test_a_task_that_raises_what_ctrl_c_does_has_failed_and_others_go_on():
    result, other = tasks.interrupt_from_keyboard.enqueue(), tasks.add.enqueue(1)

    assert work_off() == (1, 1)
    result.refresh()
    other.refresh()

    assert result.errors[0].exception_class is KeyboardInterrupt
    assert (result.status, other.return_value) == (TaskResultStatus.FAILED, 2)


def test_where_the_site_hears_ctrl_c_itself_it_is_taken_for_one():
    result = tasks.interrupt_from_keyboard.enqueue()

    with heard_by(lambda *_: None), pytest.raises(KeyboardInterrupt):
        work_off()
    result.refresh()

    assert result.status == TaskResultStatus.READY


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_where_ctrl_c_raises_nothing_a_task_that_does_has_failed(handler):
    tasks.interrupt_from_keyboard.enqueue()
    tasks.add.enqueue(1)

    with heard_by(handler):
        assert work_off() == (1, 1)


def test_inside_a_transaction_it_is_refused_by_name():
    with transaction.atomic(), pytest.raises(ErrandsError) as caught:
        work_off()

    assert str(caught.value) == (
        "work_off() was called inside atomic() of 'default': nothing it does there is "
        "recorded until that block ends. Call it after the block."
    )


@pytest.fixture
def by_hand() -> Iterator[None]:
    """Turn autocommit off, as in a script that commits by itself."""
    transaction.set_autocommit(False)
    yield
    transaction.rollback()
    transaction.set_autocommit(True)


@pytest.fixture
def begun() -> Iterator[None]:
    """Begin a transaction without telling Django."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        yield
        cursor.execute("ROLLBACK")


@pytest.mark.parametrize("transaction_of_caller", ["by_hand", "begun"])
def test_in_a_transaction_by_hand_it_is_refused_and_what_was_written_stays(
    transaction_of_caller, request
):
    request.getfixturevalue(transaction_of_caller)
    Account.objects.create(name="of the caller")

    with pytest.raises(ErrandsError) as caught:
        work_off()

    assert str(caught.value) == (
        "work_off() was called in a transaction of 'default' that was begun by hand: "
        "nothing it does there is recorded until that is committed. Call it after "
        "commit() and set_autocommit(True)."
    )
    assert Account.objects.exists()


@pytest.mark.django_db
def test_a_test_case_may_call_it_and_keeps_its_transaction():
    tasks.add.enqueue(1)

    assert work_off() == (1, 0)
    assert connection.in_atomic_block
    assert not TaskRow.objects.exists()


def test_a_backend_that_keeps_nothing_is_refused():
    with pytest.raises(ValueError, match="TASKS has no 'dummy' that keeps tasks in a"):
        work_off(backend="dummy")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"limit": None},
            TypeError,
            "work_off() got limit=None; it takes a whole number.",
        ),
        ({"limit": 1.5}, TypeError, "work_off() got limit=1.5; it takes a whole number."),
        ({"limit": -1}, ValueError, "work_off() got limit=-1; it takes 0 or more."),
        ({"queues": ["mail"]}, TypeError, "queues is ['mail']; it takes text."),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(given, error, message):
    tasks.nothing.enqueue()

    with pytest.raises(error) as refused:
        work_off(**given)

    assert str(refused.value) == message
    assert TaskRow.objects.exists()


@pytest.fixture
def told() -> Iterator[list[TaskResultStatus]]:
    """The statuses that ``task_finished`` tells of."""
    told: list[TaskResultStatus] = []

    def hear(task_result: TaskResult, **sent: object) -> None:
        told.append(task_result.status)

    task_finished.connect(hear, weak=False)
    yield told
    task_finished.disconnect(hear)


def test_what_the_database_refuses_is_told_and_counted_as_failed(monkeypatch, told):
    statements = statements_for(connection)
    finish = statements.finish

    def refuse_long(cursor, records):
        if any(len(each.return_value or "") > 10 for each in records):
            raise DataError("too much")
        return finish(cursor, records)

    monkeypatch.setattr(statements, "finish", refuse_long)
    results = [tasks.echo.enqueue(value) for value in ("far too much", "little")]

    assert work_off() == (1, 1)
    for result in results:
        result.refresh()
    assert told == [result.status for result in results]
    assert told == [TaskResultStatus.FAILED, TaskResultStatus.SUCCESSFUL]


def test_a_lost_lease_counts_for_nothing():
    tasks.nothing.enqueue()

    def steal(sender, task_result, **kwargs):
        TaskRow.objects.update(token=99)

    task_started.connect(steal)
    try:
        assert work_off(limit=1) == (0, 0)
    finally:
        task_started.disconnect(steal)


@pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask")
@pytest.mark.django_db(transaction=True)
def test_a_task_that_ends_as_lost_is_told_of():
    result, told = never_twice_interrupted.enqueue(), []

    def note(task_result, **_):
        told.append(task_result.id)

    task_finished.connect(note)
    try:
        work_off()
    finally:
        task_finished.disconnect(note)

    assert ResultRow.objects.get().status == ResultStatus.LOST
    assert told == [result.id]
