"""Attempts that are ended from outside, or come with options of their own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, InternalError, OperationalError
from django.db.models import F
from django.tasks.signals import task_started
from django.utils import timezone

from errands.exceptions import TaskCancelled, TaskTimeout
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
from errands.tasks.capabilities import cancel
from errands.tasks.outcomes import (
    Cancelled,
    Failed,
    Interrupted,
    Retry,
    Snoozed,
    Succeeded,
)
from errands.worker.attempts.attempt import Attempt
from errands.worker.attempts.making import Attempts
from errands.worker.attempts.oversight import relay_cancels
from errands.worker.workplace import Attempted, Workplace
from tests.testapp.models import Account
from tests.worker import tasks

pytestmark = [
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

WORKER = uuid4()


@pytest.fixture(autouse=True)
def fresh() -> None:
    tasks.begun.clear()
    tasks.cancelled.clear()


@pytest.fixture
def attempts(real_workplace: Workplace) -> Attempts:
    real_workplace.slots.identify(WORKER)
    return Attempts(real_workplace)


@pytest.fixture
def claim(real_workplace: Workplace) -> Callable[[], Claim]:
    return lambda: real_workplace.store.claim(WORKER, Selection(), 1)[0]


@pytest.fixture
def settled(real_workplace: Workplace, attempts: Attempts, claim):
    """Return a function that makes the next attempt and settles it."""

    def make() -> Attempted:
        attempted = attempts.make(claim())
        real_workplace.store.settle([attempted.settlement])
        return attempted

    return make


@pytest.fixture
def relaying(real_workplace: Workplace) -> Iterator[Callable[[str], None]]:
    """Return a function that cancels a task as soon as it has begun."""
    threads: list[threading.Thread] = []

    def act(result_id: str) -> None:
        with suppress(OperationalError):
            tasks.begun.wait(60)
            cancel("default", result_id)
            relay_cancels(real_workplace)
        from django.db import connections

        connections.close_all()

    def relay(result_id: str) -> None:
        threads.append(threading.Thread(target=act, args=[result_id], daemon=True))
        threads[-1].start()

    yield relay

    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(
    "task",
    [tasks.overrun, tasks.aoverrun, tasks.lose_the_connection],
    ids=["sync", "async", "amid a query"],
)
def test_an_attempt_that_takes_too_long_is_an_exception_and_tried_again(
    attempts: Attempts, claim, task
):
    task.enqueue()

    outcome = attempts.make(claim()).settlement.outcome

    assert isinstance(outcome, Retry)
    assert isinstance(outcome.error.exception, TaskTimeout)
    assert "longer than its timeout" in outcome.error.traceback


def test_an_error_of_what_cleans_up_after_a_timeout_is_not_hidden(
    attempts: Attempts, claim
):
    tasks.clean_up_twice.enqueue()

    outcome = attempts.make(claim()).settlement.outcome

    assert isinstance(outcome, Retry)
    assert isinstance(outcome.error.exception, IntegrityError)


def test_code_that_takes_a_timeout_for_an_exception_of_its_own_goes_on(
    attempts: Attempts, claim
):
    tasks.swallow.enqueue()

    assert attempts.make(claim()).settlement.outcome == Succeeded("swallowed")


def test_a_call_may_have_a_timeout_of_its_own_or_none(attempts: Attempts, claim):
    tasks.in_time.using(timeout=timedelta(hours=2)).enqueue()
    tasks.in_time.using(timeout=None).enqueue()
    tasks.in_time.enqueue()

    ready = [attempts.prepare(claim()) for _ in range(3)]

    told = [each.timeout for each in ready if isinstance(each, Attempt)]
    assert told == [timedelta(hours=2), None, timedelta(minutes=1)]


def test_a_coroutine_that_returns_inside_a_transaction_has_not_succeeded(
    attempts: Attempts, claim
):
    tasks.aleave_open.enqueue()

    outcome = attempts.make(claim()).settlement.outcome

    assert isinstance(outcome, Failed)
    assert "inside a transaction of default" in outcome.error.traceback
    assert not Account.objects.exists()


@pytest.mark.parametrize("timeout", [timedelta.max, timedelta(microseconds=1)])
def test_a_timeout_of_any_length_is_taken(attempts: Attempts, claim, timeout):
    tasks.add_slowly.using(timeout=timeout).enqueue()

    outcome = attempts.make(claim()).settlement.outcome

    assert isinstance(outcome, Succeeded if timeout.days else Retry)


def test_the_deadline_is_set_while_the_attempt_runs_and_cleared_after_it(
    attempts: Attempts, claim, real_workplace: Workplace
):
    slots, long_after = real_workplace.slots, 1 << 62
    tasks.in_time.enqueue()
    taken = claim()
    slots.start(1, taken.id)
    ready = attempts.prepare(taken)
    assert isinstance(ready, Attempt)
    seen = []
    context = attempts._context
    attempts._context = lambda attempt: (  # type: ignore[method-assign]
        seen.append(slots.overdue(long_after)) or context(attempt)
    )

    attempts.run(ready, place=1)

    assert seen == [{taken.id}]
    assert slots.overdue(long_after) == set()
    assert real_workplace.controls == {}
    assert attempts._oversight.alarms._alarms == {}


@pytest.mark.parametrize(
    "task",
    [tasks.wait_for_cancel, tasks.await_cancel, tasks.await_cancel_in_thread,
     tasks.wait_in_c, tasks.lose_the_connection.using(timeout=None)],
    ids=lambda task: task.name,
)  # fmt: skip
def test_a_running_task_is_cancelled_from_outside(
    settled: Callable[[], Attempted], relaying, task
):
    result = task.enqueue()
    relaying(result.id)

    attempted = settled()

    assert isinstance(attempted.settlement.outcome, Cancelled)
    assert "swallowed" not in tasks.cancelled
    assert ResultRow.objects.get().status == ResultStatus.CANCELLED


def test_a_coroutine_that_is_cancelled_cleans_up(
    settled: Callable[[], Attempted], relaying
):
    relaying(tasks.await_cancel.enqueue().id)

    settled()

    assert tasks.cancelled == ["cleaned up"]


def test_a_cancel_between_claim_and_first_line_ends_it_before_that(
    real_workplace: Workplace, attempts: Attempts, claim
):
    tasks.wait_for_cancel.enqueue()
    ready = attempts.prepare(claim())
    assert isinstance(ready, Attempt)
    ready.control.interrupt(TaskCancelled)

    attempted = attempts.run(ready)

    assert isinstance(attempted.settlement.outcome, Cancelled)
    assert not tasks.begun.is_set()


def test_a_cancel_that_comes_after_the_end_changes_nothing(
    real_workplace: Workplace, attempts: Attempts, claim
):
    result = tasks.never_twice.enqueue()
    attempted = attempts.make(claim())

    cancel("default", result.id)
    relay_cancels(real_workplace)

    assert attempted.settlement.outcome == Succeeded("done")


def test_a_task_of_one_chance_that_raises_has_failed(settled):
    tasks.never_twice.enqueue("no luck")

    attempted = settled()

    assert isinstance(attempted.settlement.outcome, Failed)
    assert ResultRow.objects.get().attempt == 1


def test_a_task_of_one_chance_whose_lease_is_lost_is_not_run(attempts: Attempts, claim):
    tasks.never_twice.enqueue("it has run")
    taken = claim()
    TaskRow.objects.update(token=F("token") + 1)

    attempted = attempts.make(taken)

    assert attempted.is_lost


def test_a_task_of_one_chance_is_noted_before_its_first_line(attempts, claim):
    tasks.never_twice.enqueue()
    taken = claim()

    attempts.prepare(taken)

    assert TaskRow.objects.get().started_at is not None


def test_a_task_of_one_chance_that_is_interrupted_is_lost(settled):
    tasks.never_twice_interrupted.enqueue()

    attempted = settled()

    assert attempted.settlement.outcome == Interrupted()
    assert ResultRow.objects.get().status == ResultStatus.LOST


@pytest.mark.parametrize("refusal", [OperationalError, InternalError])
def test_a_task_of_one_chance_waits_where_the_database_is_away_at_its_start(
    real_workplace: Workplace, attempts: Attempts, claim, monkeypatch, refusal
):
    def away(claim: Claim) -> bool:
        raise refusal("cannot execute UPDATE in a read-only transaction")

    tasks.never_twice.enqueue()
    taken = claim()
    monkeypatch.setattr(real_workplace.store, "begin", away)

    attempted = attempts.make(taken)
    real_workplace.store.settle([attempted.settlement])

    assert isinstance(attempted.settlement.outcome, Snoozed)
    row = TaskRow.objects.get()
    assert (row.state, row.attempt) == (TaskState.SCHEDULED, 0)


def test_a_task_over_its_rate_is_put_off_and_costs_nothing(settled):
    tasks.call_partner.enqueue_many([((), {}), ((), {})])

    first, second = settled(), settled()

    assert isinstance(first.settlement.outcome, Succeeded)
    assert isinstance(second.settlement.outcome, Snoozed)
    assert second.settlement.outcome.after > timedelta(minutes=1)
    row = TaskRow.objects.get()
    assert (row.state, row.attempt, row.releases) == (TaskState.SCHEDULED, 0, 0)


@pytest.mark.parametrize(
    ("message", "kept"), [("", timedelta(hours=1)), ("no luck", timedelta(days=90))]
)
def test_a_result_is_kept_as_long_as_its_outcome_asks_for(settled, message, kept):
    tasks.kept.enqueue(message)

    settled()

    row = ResultRow.objects.get()
    assert row.expires_at - row.finished_at == kept


def test_a_return_value_too_large_to_store_is_kept_as_a_failure(settled):
    tasks.return_much.enqueue()

    settled()

    row = ResultRow.objects.get()
    assert row.status == ResultStatus.FAILED
    assert row.expires_at - row.finished_at == timedelta(days=90)
    assert "Write a file and return its name" in row.errors


def test_a_call_says_how_long_its_own_result_is_kept(settled):
    tasks.kept.using(keep=timedelta(minutes=5)).enqueue()

    settled()

    row = ResultRow.objects.get()
    assert row.expires_at - row.finished_at == timedelta(minutes=5)


def test_metadata_is_carried_from_attempt_to_attempt_and_into_the_result(settled):
    tasks.annotate.using(metadata={"tenant": 7}).enqueue("no luck")

    settled()
    TaskRow.objects.update(state=TaskState.READY, run_at=None)
    settled()

    assert ResultRow.objects.get().metadata == '{"tenant":7,"attempts":[1,2]}'


def test_metadata_is_kept_on_success(settled):
    tasks.annotate.enqueue()

    settled()

    assert ResultRow.objects.get().metadata == '{"attempts":[1]}'


@pytest.mark.parametrize("task", [tasks.spoil_metadata, tasks.spoil_metadata_rudely])
def test_metadata_that_cannot_be_stored_changes_no_outcome(settled, task, caplog):
    task.using(metadata={"tenant": 7}).enqueue()

    attempted = settled()

    assert attempted.settlement.outcome == Succeeded("done")
    assert '"tenant"' in ResultRow.objects.get().metadata
    assert "its metadata is not stored" in caplog.text


def test_metadata_saved_after_the_lease_was_lost_tells_the_task(
    attempts: Attempts, claim
):
    tasks.save_metadata.enqueue()
    taken = claim()
    TaskRow.objects.update(token=F("token") + 1)

    outcome = attempts.make(taken).settlement.outcome

    assert isinstance(outcome, Retry)
    assert "LeaseLost" in outcome.error.exception_class_path


def test_metadata_is_there_as_soon_as_it_is_saved(attempts: Attempts, claim):
    tasks.save_metadata.enqueue()

    attempts.make(claim())

    assert TaskRow.objects.get().metadata == '{"halfway":true}'


def test_metadata_that_end_as_they_began_are_stored_over_what_was_saved(settled):
    tasks.save_metadata_on_the_way.using(metadata={"halfway": False}).enqueue()

    settled()

    assert ResultRow.objects.get().metadata == '{"halfway":false}'


@pytest.mark.parametrize(
    ("kind", "outcome"), [("OSError", Retry), ("TimeoutError", Retry), ("other", Failed)]
)
def test_only_the_exceptions_named_are_tried_again(
    attempts: Attempts, claim, kind, outcome
):
    tasks.retry_outages.enqueue(kind)

    assert isinstance(attempts.make(claim()).settlement.outcome, outcome)


@pytest.mark.parametrize(
    ("kind", "seconds"), [("TimeoutError", 7), ("ValueError", 3), ("KeyError", None)]
)
def test_each_exception_has_its_back_off(attempts: Attempts, claim, kind, seconds):
    tasks.back_off.enqueue(kind)

    outcome = attempts.make(claim()).settlement.outcome

    assert isinstance(outcome, Retry)
    if seconds is None:
        assert timedelta(seconds=4.5) <= outcome.after <= timedelta(seconds=5)
    else:
        assert outcome.after == timedelta(seconds=seconds)


def test_a_back_off_of_none_gives_up(attempts: Attempts, claim):
    tasks.back_off.enqueue("OSError")

    assert isinstance(attempts.make(claim()).settlement.outcome, Failed)


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt, ValueError])
def test_a_receiver_that_raises_at_the_start_costs_the_task_nothing(
    attempts: Attempts, claim, exception
):
    def refuse(**told: Any) -> None:
        raise exception

    tasks.never_twice.enqueue()
    taken = claim()
    task_started.connect(refuse)

    outcome = attempts.make(taken).settlement.outcome

    task_started.disconnect(refuse)
    assert outcome == Succeeded("done")


def test_an_unreadable_option_of_a_call_fails_the_task_and_not_the_thread(
    attempts: Attempts, claim
):
    tasks.in_time.enqueue()
    taken = claim()
    payload = taken.payload.rstrip("}") + '},"options":{"timeout":"soon"}}'

    attempted = attempts.make(taken._replace(payload=payload))

    assert isinstance(attempted.settlement.outcome, Failed)
    assert attempted.settlement.finished_at <= timezone.now()


def test_a_cancelled_task_waits_for_no_rate(settled, monkeypatch):
    """It would come back at once, over and over, until the rate lets it start."""
    monkeypatch.setattr(Store, "take", lambda *told: timedelta(hours=1))
    tasks.call_partner.enqueue()
    TaskRow.objects.update(cancel_requested_at=timezone.now())

    settled()

    assert ResultRow.objects.get().status == ResultStatus.CANCELLED


def test_a_cancelled_task_that_is_unknown_here_ends(settled):
    """Likewise, until a worker comes that knows it."""
    tasks.never_twice.enqueue()
    TaskRow.objects.update(path="shop.tasks.renamed", cancel_requested_at=timezone.now())

    settled()

    assert ResultRow.objects.get().status == ResultStatus.CANCELLED
