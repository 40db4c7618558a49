"""``manage.py queue``."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished
from django.utils import timezone

from errands.management.commands import queue as command
from errands.queue.models import QueueRow
from errands.tasks.registry import registry
from errands.testing import drain
from errands.text import clean_line
from tests.testapp import tasks

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
