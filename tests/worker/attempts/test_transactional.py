"""What a transactional task writes is there exactly if its end is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.db.transaction import atomic

from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.outcomes import Failed, Interrupted, Retry, Succeeded
from errands.worker.attempts import transactional
from errands.worker.attempts.making import Attempts
from errands.worker.attempts.oversight import Alarms
from errands.worker.workplace import Attempted, Workplace
from tests.testapp.models import Account
from tests.worker import tasks

pytestmark = [
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

type Make = Callable[..., Attempted]


@pytest.fixture
def claim(real_workplace: Workplace) -> Callable[[], Claim]:
    def claim() -> Claim:
        return real_workplace.store.claim(uuid4(), Selection(), 1)[0]

    return claim


@pytest.fixture
def make(real_workplace: Workplace, claim) -> Make:
    """Return a function that enqueues a call and makes one attempt at it."""
    attempts = Attempts(real_workplace)

    def make(task: Any, *args: Any, at_commit: Any = None) -> Attempted:
        task.enqueue(*args)
        claimed = claim()
        with pytest.MonkeyPatch.context() as patch:
            if at_commit is not None:
                patch.setattr(BaseDatabaseWrapper, "commit", at_commit)
            return attempts.make(claimed)

    return make


def losing(error: type[Error], *, is_done: bool) -> Callable[[BaseDatabaseWrapper], None]:
    """Return a COMMIT whose answer is lost with its connection."""
    commit = connection.commit

    def lost(wrapper: BaseDatabaseWrapper) -> None:
        if is_done:
            commit()
        connection.connection.close()
        raise error("server closed the connection unexpectedly")

    return lost


def test_a_success_is_settled_with_what_it_wrote(make: Make):
    attempted = make(tasks.write, "Anna")

    account = Account.objects.get()
    assert attempted.is_settled
    assert attempted.settlement.outcome == Succeeded(account.pk)
    assert ResultRow.objects.get().status == ResultStatus.SUCCEEDED
    assert not TaskRow.objects.exists()


def test_an_exception_rolls_back_and_is_settled_by_the_courier(make: Make):
    attempted = make(tasks.write, "Anna", "no luck")

    assert not attempted.is_settled
    assert isinstance(attempted.settlement.outcome, Retry)
    assert not Account.objects.exists()
    assert TaskRow.objects.count() == 1


def test_a_lost_lease_rolls_back_so_that_it_happens_once(
    real_workplace: Workplace, claim
):
    attempts, store = Attempts(real_workplace), real_workplace.store
    tasks.write.enqueue("Anna")
    zombies = claim()
    TaskRow.objects.update(state=1, token=F("token") + 1)
    heirs = claim()

    lost, made = attempts.make(zombies), attempts.make(heirs)

    assert (lost.is_lost, lost.is_settled) == (True, False)
    assert made.is_settled
    assert Account.objects.count() == 1
    assert not store.settle([lost.settlement])


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (tasks.write_too_much, "Write a file and return its name."),
        (tasks.violate, "IntegrityError"),
        (tasks.swallow_violation, "TransactionManagementError"),
        (tasks.leave_open, "inside a transaction of default"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_cannot_be_committed_leaves_nothing_behind(make: Make, task, told):
    attempted = make(task, "Anna")

    outcome = attempted.settlement.outcome
    assert isinstance(outcome, Failed | Retry)
    assert told in outcome.error.traceback
    assert not attempted.is_settled
    assert not Account.objects.exists()
    assert not connection.in_atomic_block


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_commit_whose_answer_is_lost_is_found_in_the_results(make: Make, error):
    attempted = make(tasks.write, "Anna", at_commit=losing(error, is_done=True))

    assert attempted.is_settled
    assert isinstance(attempted.settlement.outcome, Succeeded)
    assert Account.objects.count() == 1


def test_so_is_that_of_a_task_whose_result_is_not_kept(make: Make):
    task = tasks.write.using(keep=timedelta())

    attempted = make(task, "Anna", at_commit=losing(OperationalError, is_done=True))

    assert attempted.is_settled
    assert Account.objects.count() == 1


def test_a_task_that_was_cancelled_after_a_rescue_is_not_taken_for_done(
    real_workplace: Workplace, claim
):
    store, result = real_workplace.store, tasks.write.enqueue("Anna")
    zombies = claim()
    TaskRow.objects.update(state=1)

    assert store.backend.cancel(result.id)

    assert not store.was_settled(zombies)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_commit_that_did_not_happen_costs_nothing_and_is_made_again(
    real_workplace: Workplace, make: Make, claim, error
):
    attempted = make(tasks.write, "Anna", at_commit=losing(error, is_done=False))
    real_workplace.store.settle([attempted.settlement])
    again = Attempts(real_workplace).make(claim())

    assert attempted.settlement.outcome == Interrupted()
    assert not attempted.is_settled
    assert again.is_settled
    assert Account.objects.count() == 1
    assert ResultRow.objects.get().attempt == 1


def test_a_database_that_is_away_for_commit_and_question_costs_nothing(
    real_workplace: Workplace, make: Make, monkeypatch
):
    def away(claim: Claim) -> bool:
        raise OperationalError("away")

    monkeypatch.setattr(real_workplace.store, "was_settled", away)
    lost = losing(OperationalError, is_done=True)

    attempted = make(tasks.write, "Anna", at_commit=lost)

    assert attempted.settlement.outcome == Interrupted()
    assert not real_workplace.store.settle([attempted.settlement])
    assert ResultRow.objects.get().status == ResultStatus.SUCCEEDED


def test_a_session_that_refuses_the_settlement_and_the_question_is_charged(
    real_workplace: Workplace, make: Make, monkeypatch
):
    def refuse(*args: object) -> bool:
        raise ProgrammingError('relation "errands_result" does not exist')

    monkeypatch.setattr(real_workplace.store, "settle_within", refuse)
    monkeypatch.setattr(real_workplace.store, "was_settled", refuse)

    attempted = make(tasks.write, "Anna")

    assert isinstance(attempted.settlement.outcome, Retry)
    assert not attempted.is_settled


def test_a_database_that_is_away_at_the_beginning_costs_nothing(
    real_workplace: Workplace, claim, monkeypatch
):
    def away(*args: object, **options: object) -> None:
        monkeypatch.undo()
        raise OperationalError("away")

    tasks.write.enqueue("Anna")
    claimed = claim()
    monkeypatch.setattr(connection, "set_autocommit", away)

    attempted = Attempts(real_workplace).make(claimed)

    assert attempted.settlement.outcome == Interrupted()
    assert not Account.objects.exists()


def test_metadata_outlives_what_is_rolled_back(real_workplace: Workplace, make: Make):
    attempted = make(tasks.write_and_save, "Anna")

    real_workplace.store.settle([attempted.settlement])

    assert TaskRow.objects.get().metadata == '{"tried":1}'
    assert not Account.objects.exists()


def test_a_task_that_breaks_its_own_connection_is_charged_in_the_end(
    real_workplace: Workplace, make: Make, claim
):
    broken = losing(OperationalError, is_done=False)

    outcomes = [make(tasks.write, "Anna", at_commit=broken).settlement.outcome]
    for releases in range(1, 4):
        TaskRow.objects.update(releases=releases, attempt=0, state=TaskState.READY)
        claimed = claim()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseDatabaseWrapper, "commit", broken)
            attempted = Attempts(real_workplace).make(claimed)
        outcomes.append(attempted.settlement.outcome)

    assert outcomes[:3] == [Interrupted()] * 3
    assert isinstance(outcomes[3], Retry)
    assert not Account.objects.exists()


@pytest.mark.parametrize("error", ["ValueError", "SystemExit", "IntegrityError"])
def test_a_hook_that_raises_after_commit_changes_nothing(make: Make, caplog, error):
    attempted = make(tasks.write_and_hook, "Anna", error)

    assert attempted.is_settled
    assert isinstance(attempted.settlement.outcome, Succeeded)
    assert Account.objects.count() == 1
    assert "what was raised after its COMMIT changes nothing" in caplog.text


def test_waiting_for_the_transaction_to_begin_takes_nothing_of_the_timeout(
    make: Make, monkeypatch: pytest.MonkeyPatch
):
    happened: list[str] = []

    @contextmanager
    def noted_atomic(**how: Any) -> Iterator[None]:
        with atomic(**how):
            happened.append("begun")
            yield

    monkeypatch.setattr(transactional, "atomic", noted_atomic)
    monkeypatch.setattr(Alarms, "set", lambda *_: happened.append("time runs"))
    attempted = make(tasks.write.using(timeout=timedelta(minutes=1)), "Anna")

    assert attempted.is_settled
    assert happened == ["begun", "time runs"]
