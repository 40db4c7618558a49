"""The worker's side: every way out of ``perform`` ends the run."""

import json
import logging
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from django.db import OperationalError
from django.http import HttpRequest
from django.tasks import TaskResultStatus, default_task_backend
from django.utils import timezone
from django.utils.translation import get_language, override
from pytest_django import Settings

from errands import JobError, Message
from errands.runs import handover
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.progress_row import read_row
from errands.runs.states import State
from tests.jobs.conftest import Play
from tests.jobs.sample import AccountReport, Immediate, Once, Retried, Scripted
from tests.runs.engines import SharedWorker
from tests.testapp.models import Account


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def status_of_task(run: Run) -> TaskResultStatus:
    """Return how the task of a run ended."""
    return default_task_backend.get_result(str(run.task_id)).status


def raising(error: BaseException) -> object:
    raise error


def test_a_job_ends_its_run_with_its_outcome(
    click: HttpRequest, worker: SharedWorker
) -> None:
    account = Account.objects.create(name="Ada")
    run = AccountReport.start(click, account)

    worker.drain()

    run.refresh_from_db()
    assert run.state == State.SUCCEEDED
    assert run.results["orders.csv"].text == "Ada,0\r\nAda,1\r\n"


def test_a_job_error_without_a_text_still_says_something(play: Play) -> None:
    run = play(lambda job: raising(JobError()))

    assert run.error_message == "Something went wrong on our side."


@pytest.mark.django_db(transaction=True)  # files go on commit
def test_a_run_deleted_while_its_job_works_leaves_nothing(
    click: HttpRequest, play: Play, settings: Settings
) -> None:
    deleted: list[UUID] = []

    def script(job: Scripted) -> None:
        deleted.append(job.run.pk)
        Run.objects.filter(pk=job.run.pk).delete()
        job.results.write("a.txt", "nobody will ask for it")
        job.status("Going on")
        job.progress.flush()

    with suppress(Run.DoesNotExist):  # there is none to look at
        play(script)

    left = [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]
    assert (left, read_row(deleted[0])) == ([], None)


def test_a_job_error_shows_its_text_and_ends_the_task_as_failed(play: Play) -> None:
    run = play(lambda job: raising(JobError("The key has expired.")))

    assert (run.state, run.error_message) == (State.FAILED, "The key has expired.")
    assert (
        default_task_backend.get_result(str(run.task_id)).status
        == TaskResultStatus.FAILED
    )


def test_an_outage_before_the_first_line_costs_no_attempt(
    click: HttpRequest, worker: SharedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Once.start(click)
    with monkeypatch.context() as outage:
        outage.setattr(
            handover, "_took_over", lambda fence: raising(OperationalError("gone"))
        )
        worker.drain()

    worker.drain()

    run.refresh_from_db()
    assert (run.state, run.attempt) == (State.SUCCEEDED, 1)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("password=hunter2"),
        Unprintable(),
        SystemExit(1),
        KeyboardInterrupt(),
        ValueError("x" * 5_000_000 + "\0\ud800<script>"),
    ],
    ids=["error", "unprintable", "exit", "interrupt", "huge"],
)
def test_any_other_exception_shows_a_safe_text_and_a_reference(
    error: BaseException, play: Play
) -> None:
    run = play(lambda job: raising(error))

    assert run.state == State.FAILED
    assert run.error_message == "Something went wrong on our side."
    assert run.error_reference == run.reference
    assert (
        default_task_backend.get_result(str(run.task_id)).status
        == TaskResultStatus.FAILED
    )


def test_the_reference_leads_to_the_traceback_in_the_log(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    run = play(lambda job: raising(ValueError("no luck")))

    [record] = [r for r in caplog.records if r.name == "errands.jobs"]
    # An ERROR is an event of its own to error trackers, and its task is one.
    assert record.levelno == logging.WARNING
    assert run.error_reference in record.getMessage()
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no luck"


def test_an_outage_at_the_end_costs_no_attempt(
    click: HttpRequest, worker: SharedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account.objects.create(name="Ada")
    run = AccountReport.start(click, account)
    with monkeypatch.context() as outage:
        outage.setattr(
            Possession, "succeed", lambda *args: raising(OperationalError("gone"))
        )
        worker.drain()
    run.refresh_from_db()
    in_between = run.state

    worker.drain()

    run.refresh_from_db()
    assert (in_between, run.state) == (State.QUEUED, State.SUCCEEDED)
    assert run.results["orders.csv"].text == "Ada,0\r\nAda,1\r\n"
    assert default_task_backend.get_result(str(run.task_id)).attempts == 1


@pytest.mark.parametrize("value", [42, "done", object(), {"kind": "redirect"}])
def test_a_job_that_returns_garbage_fails(value: object, play: Play) -> None:
    run = play(lambda job: value)

    assert run.state == State.FAILED
    assert run.outcome == ""


def test_an_argument_whose_record_is_gone_says_so(
    click: HttpRequest, worker: SharedWorker
) -> None:
    account = Account.objects.create(name="Ada")
    run = AccountReport.start(click, account)
    account.delete()

    worker.drain()

    run.refresh_from_db()
    assert run.state == State.FAILED
    assert run.error_message == "What this was about no longer exists."


def test_a_job_with_attempts_left_is_given_back_and_tried_again(
    click: HttpRequest, worker: SharedWorker
) -> None:
    run = Retried.start(click)

    worker.drain()
    run.refresh_from_db()
    between = run.state, run.error_message
    worker.store.stage()
    worker.drain()

    run.refresh_from_db()
    assert between == (State.QUEUED, "")
    assert (run.state, run.attempt) == (State.SUCCEEDED, 2)
    assert run.error_message == ""


def test_a_job_speaks_the_language_and_the_time_zone_of_the_click(
    play: Play,
) -> None:
    spoken = []

    def script(job: Scripted) -> Message:
        spoken.append((get_language(), timezone.get_current_timezone_name()))
        return Message("")

    with override("de"), timezone.override("Asia/Tokyo"):
        play(script)

    assert spoken == [("de", "Asia/Tokyo")]


def test_a_cancelled_job_ends_at_its_next_item(play: Play) -> None:
    items = []

    def script(job: Scripted) -> None:
        for item in job.track(range(3)):
            items.append(item)
            Run.objects.get(pk=job.run.pk).cancel()
            job.progress.flush()

    run = play(script)

    assert (run.state, items) == (State.CANCELLED, [0])


def test_an_attempt_that_lost_the_run_writes_nothing_and_returns_quietly(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    def script(job: Scripted) -> Message:
        Run.objects.filter(pk=job.run.pk).update(task_id="another")
        return Message("from a zombie")

    run = play(script)

    assert (run.state, run.outcome) == (State.RUNNING, "")
    assert "lost its lease" in caplog.text


def test_a_second_delivery_of_the_same_task_changes_nothing(
    play: Play, worker: SharedWorker
) -> None:
    run = play(lambda job: Message("first"))
    version = run.version
    task = default_task_backend.get_result(str(run.task_id)).task

    task.enqueue(str(run.pk), run.dispatch)
    worker.drain()

    run.refresh_from_db()
    assert run.version == version


@pytest.mark.django_db(transaction=True)  # it starts on commit
def test_a_job_runs_on_an_engine_that_performs_it_at_once(play: Play) -> None:
    run = play(lambda job: Message("done"), job=Immediate)

    assert (run.state, json.loads(run.outcome)["text"]) == (State.SUCCEEDED, "done")


@pytest.mark.django_db(transaction=True)  # it starts on commit
def test_a_job_that_fails_at_once_does_not_fail_the_request(play: Play) -> None:
    run = play(lambda job: raising(JobError("No.")), job=Immediate)

    assert (run.state, run.error_message) == (State.FAILED, "No.")
