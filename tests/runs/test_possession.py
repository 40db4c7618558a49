"""What an attempt may write, and the one way it ends a run."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from errands.exceptions import LeaseLost, TaskCancelled
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.states import State
from tests.runs.conftest import stored
from tests.runs.jobs import write_orders

type NewRun = Callable[..., Run]
type TakeOver = Callable[..., Possession]

pytestmark = pytest.mark.django_db(transaction=True)

ENDS: dict[str, Callable[[Possession], None]] = {
    "succeed": lambda possession: possession.succeed({"kind": "message"}),
    "fail": lambda possession: possession.fail("no luck"),
    "cancelled": lambda possession: possession.cancelled(),
    "retry_later": lambda possession: possession.retry_later(),
    "interrupted": lambda possession: possession.interrupted(),
    "write": lambda possession: possession.write(status="Working"),
}


@pytest.fixture
def superseded(new_run: NewRun, take_over: TakeOver) -> Possession:
    """Return the possession of an attempt that another has followed."""
    run = new_run()
    first = take_over(run, task_id="task", token=1)
    take_over(run, task_id="task", token=2)
    return first


@pytest.mark.parametrize("end", ENDS)
def test_a_superseded_attempt_changes_nothing(superseded: Possession, end: str) -> None:
    write_orders(superseded)
    before = Run.objects.values().get()

    with pytest.raises(LeaseLost):
        ENDS[end](superseded)

    assert Run.objects.values().get() == before
    assert dict(stored(superseded.run.pk).results) == {}


@pytest.mark.parametrize("end", ENDS)
def test_a_run_ends_once(possession: Possession, end: str) -> None:
    possession.succeed({"kind": "json"})
    before = Run.objects.values().get()

    with pytest.raises(LeaseLost):
        ENDS[end](possession)

    assert Run.objects.values().get() == before


def test_success_stores_outcome_results_and_expiry_together(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run(result_expires=timedelta(days=7))
    possession = take_over(run)
    write_orders(possession)

    possession.succeed({"kind": "download", "result": "orders.csv"})

    ended = stored(run.pk)
    assert ended.state == State.SUCCEEDED
    assert ended.outcome == '{"kind": "download", "result": "orders.csv"}'
    assert list(ended.results) == ["orders.csv"]
    assert ended.expires_at is not None
    assert timedelta(days=6) < ended.expires_at - timezone.now() < timedelta(days=8)


def test_results_are_invisible_until_the_attempt_succeeds(possession: Possession) -> None:
    write_orders(possession)

    assert dict(stored(possession.run.pk).results) == {}


def test_failure_keeps_a_bounded_text_and_a_reference(possession: Possession) -> None:
    possession.fail("no\0luck " + "x" * 5_000_000)

    ended = stored(possession.run.pk)
    assert ended.state == State.FAILED
    assert ended.error_message.startswith("no\ufffdluck xxx")
    assert len(ended.error_message) == 2000
    assert ended.error_reference == f"{ended.pk.hex[:8].upper()}-1"


@pytest.mark.parametrize("end", ["fail", "cancelled", "retry_later", "interrupted"])
def test_files_of_an_attempt_without_success_are_removed(
    possession: Possession, site: Path, end: str
) -> None:
    write_orders(possession)
    files_before = files_in(site)

    ENDS[end](possession)

    assert len(files_before) == 1
    assert files_in(site) == []


def test_files_of_an_attempt_that_died_are_removed_by_the_end_that_follows(
    new_run: NewRun, take_over: TakeOver, site: Path
) -> None:
    run = new_run()
    write_orders(take_over(run, token=1))
    second = take_over(run, token=2)
    write_orders(second)
    files_before = files_in(site)

    second.succeed()

    assert len(files_before) == 2
    assert [str(file) for file in files_in(site)] == [
        str(site / stored(run.pk).results["orders.csv"].key)
    ]


def test_files_stay_where_the_answer_to_the_commit_of_their_success_was_lost(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_orders(possession)
    commit = connection.commit

    def commit_unheard() -> None:
        commit()
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as outage, pytest.raises(OperationalError):
        outage.setattr(connection, "commit", commit_unheard)
        possession.succeed()
    with pytest.raises(LeaseLost):
        possession.interrupted()
    possession.abandon()

    with stored(possession.run.pk).results["orders.csv"].open() as file:
        assert file.read()


def test_files_of_a_success_that_was_not_committed_go_with_the_end_that_follows(
    new_run: NewRun, take_over: TakeOver, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    first = take_over(run, token=1)
    write_orders(first)

    def refuse() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as outage, pytest.raises(OperationalError):
        outage.setattr(connection, "commit", refuse)
        first.succeed()
    first.interrupted()
    take_over(run, token=2).fail("no luck")

    assert files_in(site) == []


def test_an_interrupted_run_waits_for_the_next_attempt(possession: Possession) -> None:
    possession.interrupted()

    waiting = stored(possession.run.pk)
    assert (waiting.state, waiting.is_interrupted) == (State.QUEUED, True)
    assert waiting.finished_at is None


def test_the_next_attempt_is_not_shown_as_interrupted(
    possession: Possession, take_over: TakeOver
) -> None:
    possession.interrupted()

    take_over(possession.run, task_id=possession.task_id, token=2)

    running = stored(possession.run.pk)
    assert (running.state, running.is_interrupted) == (State.RUNNING, False)
    assert running.attempt == 2


def test_a_retry_says_so_and_when(possession: Possession) -> None:
    possession.retry_later(timedelta(minutes=5))

    waiting = stored(possession.run.pk)
    assert (waiting.state, waiting.status) == (State.QUEUED, "Trying again")
    assert waiting.run_after is not None
    assert waiting.run_after > timezone.now() + timedelta(minutes=4)


@pytest.mark.parametrize("end", ["retry_later", "interrupted"])
def test_a_cancelling_run_is_not_given_back_but_ended(
    possession: Possession, end: str
) -> None:
    possession.run.cancel()

    ENDS[end](possession)

    assert stored(possession.run.pk).state == State.CANCELLED


def test_a_job_that_finishes_before_it_sees_the_cancellation_has_succeeded(
    possession: Possession,
) -> None:
    possession.run.cancel()

    possession.succeed()

    assert stored(possession.run.pk).state == State.SUCCEEDED


def test_an_end_survives_a_transaction_the_job_left_open(
    possession: Possession, caplog: pytest.LogCaptureFixture
) -> None:
    transaction.atomic().__enter__()
    Run.objects.update(title="Left behind")

    with caplog.at_level(logging.ERROR, logger="errands.runs"):
        possession.succeed()

    assert not connection.in_atomic_block
    assert stored(possession.run.pk).state == State.SUCCEEDED
    assert stored(possession.run.pk).title == ""
    assert "left a transaction open" in caplog.text


def test_an_end_survives_manual_transactions(possession: Possession) -> None:
    transaction.set_autocommit(False)
    Run.objects.update(title="Left behind")

    possession.succeed()

    assert transaction.get_autocommit()
    assert stored(possession.run.pk).state == State.SUCCEEDED
    assert stored(possession.run.pk).title == ""


def test_an_end_inside_the_callers_transaction_goes_with_it(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        take_over(run).succeed()
        raise ZeroDivisionError

    assert stored(run.pk).state == State.QUEUED


def test_a_cancellation_is_heard_after_the_connection_was_cut(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(possession.run.pk).cancel()
    connection.connection.close()
    # SQLite takes every connection for usable.
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    possession.control.check()

    with pytest.raises(TaskCancelled):
        possession.control.check()


def test_every_write_raises_the_version(possession: Possession) -> None:
    versions = [stored(possession.run.pk).version]

    possession.write(status="Working")
    versions.append(stored(possession.run.pk).version)
    possession.succeed()
    versions.append(stored(possession.run.pk).version)

    assert versions == [1, 2, 3]


def files_in(directory: Path) -> list[Path]:
    """Return the files below a directory."""
    return [path for path in directory.rglob("*") if path.is_file()]
