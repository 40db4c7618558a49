"""``manage.py queue``."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.tasks import TaskResultStatus

from errands.testing import drain
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

    _, mail, empty = queue("show", "mail", "nobody\udcffs").splitlines()

    assert mail.split()[:3] == ["mail", "0", "1"]
    assert empty.split() == [r"nobody\udcffs", "0", "0", "0", "0", "0"]


def test_a_queue_is_paused_and_resumed():
    assert queue("pause", "mail") == "Queue mail paused.\n"
    assert queue().split()[-1] == "paused"
    assert queue("pause", "mail") == "Queue mail is paused already.\n"
    assert queue("resume", "mail") == "Queue mail resumed.\n"
    assert queue("resume", "mail", "a,b") == (
        "Queue mail is not paused.\nQueue a,b is not paused.\n"
    )
    assert queue() == "Nothing waits, nothing runs.\n"


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


def test_a_name_that_no_queue_has_is_refused():
    with pytest.raises(CommandError) as caught:
        queue("pause", "a,b")

    assert str(caught.value) == (
        "'a,b' is no queue: a name is one line of 1 to 100 characters, without ',' and "
        "'*'."
    )


def test_an_unknown_backend_is_named():
    with pytest.raises(CommandError, match="'other'"):
        queue("show", "--backend", "other")
