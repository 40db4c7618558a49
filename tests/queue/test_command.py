"""``manage.py queue``."""

import io
import os
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished
from django.utils import timezone

from errands.exceptions import TaskCrashed
from errands.management.commands import queue as command
from errands.queue.models import QueueRow, ResultRow
from errands.tasks.outcomes import AttemptError, Failed
from errands.tasks.registry import registry
from errands.testing import drain
from errands.text import clean_line
from tests.testapp import jobs, tasks

OPERATIONS = Path(__file__).parents[2] / "docs" / "guides" / "operations.md"

pytestmark = pytest.mark.django_db(transaction=True)


def queue(*arguments: str) -> str:
    said = StringIO()
    call_command("queue", *arguments, stdout=said)
    return said.getvalue()


def test_an_empty_queue_says_so():
    assert queue() == "Nothing waits, nothing runs.\n"


def test_every_queue_is_shown_with_its_depth():
    tasks.nothing.enqueue_many([((), {})] * 3)
    tasks.nothing.using(queue_name="mail").enqueue()

    head, default, mail = queue("show").splitlines()

    assert head.split()[:3] == ["queue", "scheduled", "ready"]
    assert default.split()[:4] == ["default", "0", "3", "0"]
    assert mail.split()[:3] == ["mail", "0", "1"]


def test_the_guide_shows_the_columns_there_are():
    tasks.nothing.enqueue()

    head, *_ = queue("show").splitlines()

    assert head.split() in [line.split() for line in OPERATIONS.read_text().splitlines()]


def test_only_the_queues_that_were_named_are_shown():
    tasks.nothing.enqueue_many([((), {})] * 3)
    tasks.nothing.using(queue_name="mail").enqueue()

    _, mail, empty = queue("show", "mail", "nobodys").splitlines()

    assert mail.split()[:3] == ["mail", "0", "1"]
    assert empty.split() == ["nobodys", "0", "0", "0", "0", "0"]


def test_a_queue_is_paused_and_resumed():
    assert queue("pause", "mail") == "Queue mail paused.\n"
    assert queue().split()[-1] == "paused"
    assert queue("pause", "mail") == "Queue mail is paused already.\n"
    assert queue("resume", "mail") == "Queue mail resumed.\n"
    assert queue("resume", "mail") == "Queue mail is not paused.\n"
    assert queue() == "Nothing waits, nothing runs.\n"


@pytest.mark.parametrize("action", ["cancel", "discard"])
def test_who_hears_of_ends_is_told_of_one_by_the_command(action, monkeypatch):
    def load() -> None:
        monkeypatch.setattr(registry, "find", find)

    def heard(*, task_result, **kwargs) -> None:
        told.append(task_result.id)

    told, find = [], registry.find
    result = tasks.nothing.enqueue()
    monkeypatch.setattr(registry, "find", lambda path: None)
    monkeypatch.setattr(registry, "load", load)
    task_finished.connect(heard)

    queue(action, result.id)

    task_finished.disconnect(heard)
    assert told == [result.id]


def test_a_site_that_cannot_be_loaded_keeps_nobody_from_cancelling(monkeypatch, capsys):
    def load() -> None:
        raise ImportError("no such module")

    result = tasks.nothing.enqueue()
    monkeypatch.setattr(registry, "load", load)

    queue("cancel", result.id)

    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert "tasks cannot be loaded: no such module" in capsys.readouterr().err


def test_a_waiting_task_is_cancelled():
    result = tasks.nothing.enqueue()

    said = queue("cancel", result.id)

    result.refresh()
    assert said == f"Task {result.id} cancelled, or asked to stop.\n"
    assert result.status == TaskResultStatus.FAILED


def test_a_failed_task_is_tried_again():
    result = tasks.fail_once.enqueue()
    drain(raise_errors=False)

    said = queue("retry", result.id)

    result.refresh()
    assert said == f"Task {result.id} ready again.\n"
    assert result.status == TaskResultStatus.READY


def test_a_task_whose_unique_key_is_taken_waits_for_who_has_it():
    once = tasks.fail_once.using(unique="once")
    ended = once.enqueue()
    drain(raise_errors=False)
    holder = once.enqueue()

    with pytest.raises(CommandError) as refused:
        queue("retry", ended.id)

    assert str(refused.value) == (
        f"Task {ended.id} cannot run again while task {holder.id} has its unique key; "
        "retry it after that."
    )


def test_a_job_whose_run_has_ended_is_not_tried_again():
    run = jobs.Break.using(owner=None).enqueue()
    drain(raise_errors=False)

    with pytest.raises(CommandError) as refused:
        queue("retry", run.dispatched_task)

    assert str(refused.value) == (
        f"Task {run.dispatched_task} is a job's, whose owner was told how it ended: "
        "start the job anew."
    )
    assert queue("list", "--state", "failed", "--ids").strip() == run.dispatched_task


def test_nobody_finds_what_was_kept_for_no_time():
    tasks.nothing.using(keep=timedelta()).enqueue()
    drain()

    assert ResultRow.objects.count() == 1
    assert queue("list", "--state", "succeeded") == ""


def test_what_is_asked_for_is_done_although_nobody_reads_on():
    results = [tasks.fail_once.enqueue() for _ in range(3)]
    drain(raise_errors=False)
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "w") as nobodys:
        call_command("queue", "retry", *[each.id for each in results], stdout=nobodys)

    assert {words[1] for words in lines_of()[::2]} == {"ready"}


def test_what_nobody_reads_of_a_complaint_ends_nothing():
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "w") as nobodys:
        call_command("queue", "list", "--state", "lost", stderr=nobodys)

        nobodys.flush()


def test_what_a_terminal_cannot_show_is_escaped():
    shown = io.BytesIO()

    with io.TextIOWrapper(shown, "ascii") as terminal:
        call_command("queue", "pause", "☃", "mail", stdout=terminal)
        said = shown.getvalue()

    assert said == b"Queue \\u2603 paused.\nQueue mail paused.\n"


def test_a_task_that_has_not_ended_is_not_tried_again():
    live = tasks.nothing.using(unique=True).enqueue()

    with pytest.raises(CommandError, match=f"Task {live.id} has not ended."):
        queue("retry", live.id)


def test_a_failed_task_is_discarded():
    result = tasks.fail_once.enqueue()
    drain(raise_errors=False)

    assert queue("discard", result.id) == f"Task {result.id} discarded.\n"


@pytest.mark.parametrize("name", ["nonsense", "\udcff", "two\nlines"])
def test_an_unknown_id_is_named(name: str):
    with pytest.raises(CommandError) as refused:
        queue("cancel", name)

    assert str(refused.value) == f"There is no task with the id {name!r}."


def test_one_that_cannot_be_cancelled_keeps_no_other_from_it():
    first, last, said = tasks.nothing.enqueue(), tasks.nothing.enqueue(), StringIO()

    with pytest.raises(CommandError) as refused:
        call_command("queue", "cancel", first.id, "a", "b", last.id, stdout=said)

    assert str(refused.value) == (
        "There is no task with the id 'a'.\nThere is no task with the id 'b'."
    )
    assert said.getvalue() == (
        f"Task {first.id} cancelled, or asked to stop.\n"
        f"Task {last.id} cancelled, or asked to stop.\n"
    )


def test_an_ended_task_cannot_be_cancelled():
    result = tasks.nothing.enqueue()
    drain(raise_errors=False)

    with pytest.raises(CommandError, match=f"Task {result.id} has ended."):
        queue("cancel", result.id)


@pytest.mark.parametrize(("action", "what"), [("pause", "NAME"), ("retry", "ID")])
def test_a_name_or_an_id_must_be_given(action: str, what: str):
    with pytest.raises(CommandError) as refused:
        queue(action)

    assert str(refused.value) == (
        f"Name what to {action}: manage.py queue {action} {what} …"
    )


@pytest.mark.parametrize("action", ["show", "pause", "resume"])
@pytest.mark.parametrize("name", ["a,b", "a:2", "mail*", "nobody\udcffs", "x" * 101])
def test_a_name_that_no_queue_has_is_refused(action: str, name: str):
    with pytest.raises(CommandError) as caught:
        queue(action, name)

    assert str(caught.value) == (
        f"{clean_line(repr(name))} is no queue: a name is one line of 1 to 100 "
        "characters, without ',', '*' and ':'. Name each queue by itself."
    )


def test_whatever_is_paused_can_be_shown_and_resumed():
    QueueRow.objects.create(name="a,b", paused_at=timezone.now())

    assert queue("show", "a,b").split()[-1] == "paused"
    assert queue("resume", "a,b") == "Queue a,b resumed.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", "--backend", "default", "mail", "a"],
        ["--backend", "default", "pause", "mail", "a"],
        ["pause", "mail", "--backend", "default", "a"],
        ["pause", "mail", "a", "--backend=default"],
    ],
)
def test_options_may_stand_anywhere(arguments: list[str]):
    assert queue(*arguments) == "Queue mail paused.\nQueue a paused.\n"


def test_options_alone_show_the_queues():
    assert queue("--backend", "default") == "Nothing waits, nothing runs.\n"


def test_a_database_that_refuses_is_one_line(monkeypatch):
    def refuse(alias: str) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(command, "depths", refuse)

    with pytest.raises(CommandError) as refused:
        queue()

    assert str(refused.value) == (
        "The database refuses, and the doctor says more: connection refused"
    )


def test_an_unknown_backend_is_named():
    with pytest.raises(CommandError, match="'other'"):
        queue("show", "--backend", "other")


def lines_of(*arguments: str) -> list[list[str]]:
    """Return the words of each task that is listed."""
    return [line.split() for line in queue("list", *arguments).splitlines()]


def test_what_has_not_ended_is_listed_in_the_order_in_which_it_starts(worker):
    later = tasks.nothing.using(run_after=timedelta(hours=1)).enqueue()
    running = tasks.nothing.enqueue()
    worker.claim()
    last, first = tasks.nothing.enqueue(), tasks.nothing.using(priority=5).enqueue()

    listed = lines_of()

    assert [words[:2] for words in listed] == [
        [running.id, "running"],
        [first.id, "ready"],
        [last.id, "ready"],
        [later.id, "scheduled"],
    ]
    due_at = timezone.localtime(later.task.run_after)
    assert listed[-1][2:] == [
        *f"{due_at:%Y-%m-%d %H:%M:%S}".split(),
        *("default", "tests.testapp.tasks.nothing", "0", "attempts"),
    ]


def test_what_has_failed_is_listed_with_its_error_the_newest_first():
    results = [tasks.fail_once.enqueue() for _ in range(2)]
    drain(raise_errors=False)
    tasks.nothing.enqueue()

    first, error, second, _ = queue("list", "--state", "failed").splitlines()

    assert [first.split()[0], second.split()[0]] == [each.id for each in results[::-1]]
    assert first.split()[1] == "failed"
    assert first.endswith("tests.testapp.tasks.fail_once  1 attempt")
    assert error == "    ValueError: no luck"


def test_what_waits_to_be_tried_again_is_listed_with_its_error():
    flaky = tasks.fail.using(max_attempts=3).enqueue("not yet")
    drain(raise_errors=False, limit=1)

    line, error = queue("list", "--state", "scheduled").splitlines()

    assert line.split()[0] == flaky.id
    assert line.endswith("tests.testapp.tasks.fail  1 attempt")
    assert error == "    ValueError: not yet"


def test_an_error_of_many_lines_is_one():
    result = tasks.fail.enqueue("first\nsecond\n\x1b[31mthird")
    drain(raise_errors=False)

    line, error = queue("list", "--state", "failed").splitlines()

    assert line.split()[0] == result.id
    assert error == "    ValueError: first second [31mthird"


class UnformattableError(Exception):
    @property
    def __cause__(self) -> None:
        raise RuntimeError("nobody may look")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (TaskCrashed("signal 11."), "errands.exceptions.TaskCrashed: signal 11."),
        (ValueError("no luck"), "ValueError: no luck"),
        (TimeoutError(), "TimeoutError"),
        (UnformattableError("no luck"), "UnformattableError: no luck"),
    ],
)
def test_an_error_that_was_never_raised_is_listed_with_its_message(
    worker, error: Exception, shown: str
):
    tasks.nothing.enqueue()
    worker.settle(worker.claim(), Failed(AttemptError.of(error)))

    _, said = queue("list", "--state", "failed").splitlines()

    assert said == f"    {shown}"


def test_the_ids_of_a_list_are_what_the_other_actions_take():
    results = [tasks.fail_once.enqueue() for _ in range(3)]
    drain(raise_errors=False)
    chosen = ("--state", "failed", "--task", "tests.testapp.tasks.fail_once")

    ids = queue("list", *chosen, "--ids").split()
    queue("retry", *ids)

    assert set(ids) == {each.id for each in results}
    assert queue("list", *chosen) == ""
    assert {words[1] for words in lines_of()[::2]} == {"ready"}


def test_a_list_is_of_the_queues_and_the_task_that_were_named():
    mail = tasks.nothing.using(queue_name="mail").enqueue()
    tasks.fail_once.using(queue_name="mail").enqueue()
    tasks.nothing.enqueue()

    path = tasks.nothing.module_path

    assert queue("list", "mail", "--task", path, "--ids") == f"{mail.id}\n"


def test_a_list_that_is_cut_says_so_beside_it():
    said = StringIO()
    tasks.nothing.enqueue_many([((), {})] * 3)

    call_command("queue", "list", "--limit", "2", stdout=StringIO(), stderr=said)

    assert said.getvalue() == "There are more than 2; --limit shows more.\n"
    call_command("queue", "list", "--limit", "3", stdout=StringIO(), stderr=said)
    assert said.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--state", "lost"], "There is no such task.\n"),
        (["mail"], "There is no such task.\n"),
        (
            ["--limit", "3"],
            "Nothing waits, nothing runs; --state shows what has ended.\n",
        ),
    ],
)
def test_a_list_of_nothing_says_so(options, told, capsys):
    assert queue("list", *options) == ""

    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "--limit", "0"], "--limit is 0; it is 1 to 1,000,000."),
        (["list", "--limit", "10000000000"], "it is 1 to 1,000,000."),
        (["list", "mail*"], "'mail*' is no queue"),
        (["retry", "--ids", "x"], "--ids belongs to 'queue list', not to 'retry'."),
        (["--state", "failed"], "--state belongs to 'queue list', not to 'show'."),
    ],
)
def test_what_a_list_cannot_be_of_is_refused(arguments: list[str], told: str):
    with pytest.raises(CommandError) as refused:
        queue(*arguments)

    assert told in str(refused.value)
