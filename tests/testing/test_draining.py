"""``drain`` runs what waits, in the transaction of a test that never commits."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.tasks import TaskResultStatus
from django.tasks.exceptions import InvalidTaskBackend
from django.tasks.signals import task_finished
from django.test import TestCase
from django.utils import timezone

from errands.exceptions import ErrandsError
from errands.queue.backend import DatabaseBackend
from errands.queue.models import TaskRow
from errands.queue.store import Store
from errands.testing import Drained, drain, inline, travel_to
from tests.testapp.models import Account
from tests.testing import sample

pytestmark = pytest.mark.django_db


class OwnBackend(DatabaseBackend):
    """What a site may have made of ours."""


def test_what_is_ready_runs_in_the_order_of_a_worker():
    sample.note.using(priority=-1).enqueue("last")
    sample.note.enqueue("second")
    sample.note.using(priority=10).enqueue("first")

    drained = drain()

    assert sample.heard == ["first", "second", "last"]
    assert drained == Drained(succeeded=3)
    assert [result.return_value for result in drained.results] == sample.heard


def test_results_that_are_not_kept_are_told_all_the_same(settings):
    settings.ERRANDS = settings.ERRANDS | {"KEEP_SUCCEEDED": timedelta()}
    sample.add.enqueue(1, right=2)

    drained = drain()
    with inline():
        added = sample.add.enqueue(2, right=3)

    assert [result.return_value for result in drained.results] == [3]
    assert added.return_value == 5


def test_nothing_to_do_is_no_error():
    assert drain() == Drained()
    assert drain().attempts == 0


def test_results_and_signals_are_those_of_a_worker():
    finished = []
    result = sample.add.enqueue(1, right=2)

    def receive(sender, task_result, **kwargs):
        finished.append((task_result.id, task_result.status))

    task_finished.connect(receive)
    try:
        drain()
    finally:
        task_finished.disconnect(receive)
    result.refresh()

    assert result.return_value == 3
    assert result.worker_ids == ["errands.testing"]
    assert finished == [(result.id, TaskResultStatus.SUCCESSFUL)]


def test_async_tasks_work_in_the_tests_transaction():
    Account.objects.create(name="uncommitted")
    result = sample.think.enqueue("second")

    drain()
    result.refresh()

    assert result.return_value == 2


def test_what_a_task_enqueues_runs_too():
    sample.count_down.enqueue(50)

    assert drain() == Drained(succeeded=51)


def test_a_limit_stops_and_the_rest_goes_on_waiting():
    for number in range(5):
        sample.note.enqueue(number)

    first = drain(limit=2)

    assert first == Drained(succeeded=2)
    assert sample.heard == [0, 1]
    assert drain() == Drained(succeeded=3)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        drain(limit=limit)

    assert str(caught.value) == f"drain() got limit={limit}; it takes 1 or more."


@pytest.mark.parametrize("limit", ["2", 2.5, True])
def test_a_limit_that_is_no_number_of_attempts_is_refused(limit):
    sample.go_on.enqueue()

    with pytest.raises(TypeError) as caught:
        drain(limit)

    assert str(caught.value) == (
        f"drain() got limit={limit!r}; it takes an int, or None."
    )


@pytest.mark.parametrize("queues", [["mail"], None])
def test_queues_that_are_no_text_are_refused(queues):
    with pytest.raises(TypeError) as caught:
        drain(queues=queues)

    assert str(caught.value) == (
        f"drain() got queues={queues!r}; it takes a str, as a worker's --queues does: "
        "'mail,default'."
    )


@pytest.mark.parametrize("raises", ["no", 0, None])
def test_whether_errors_are_raised_is_yes_or_no(raises):
    told = f"() got raise_errors={raises!r}; it takes True or False."

    with pytest.raises(TypeError) as caught:
        drain(raise_errors=raises)
    with pytest.raises(TypeError) as caught_inline, inline(raise_errors=raises):
        pass

    assert str(caught.value) == f"drain{told}"
    assert str(caught_inline.value) == f"inline{told}"


@pytest.mark.parametrize("alias", [5, "x", ["a"]])
def test_a_backend_that_tasks_does_not_have_is_refused(alias):
    with pytest.raises(InvalidTaskBackend) as caught:
        drain(backend=alias)

    assert str(caught.value) == (
        f"TASKS has no {alias!r}. Known: default, immediate, dummy."
    )


def test_tasks_that_never_end_are_named():
    sample.go_on.enqueue()

    with pytest.raises(ErrandsError) as caught:
        drain()

    assert str(caught.value) == (
        "Tasks go on enqueueing tasks, more than 100 deep. It ran: "
        "tests.testing.sample.go_on (51 times), tests.testing.sample.and_on (50 times). "
        "A task that enqueues itself is drained in part by drain(limit=…)."
    )
    assert TaskRow.objects.get().state == 1


def test_tasks_of_a_backend_of_ones_own_that_never_end_are_named(settings):
    backend = "tests.testing.test_draining.OwnBackend"
    settings.TASKS = {**settings.TASKS, "default": {"BACKEND": backend}}
    sample.go_on.enqueue()

    with pytest.raises(ErrandsError, match="more than 100 deep"):
        drain()


def test_a_task_that_enqueues_itself_is_drained_in_part():
    sample.go_on.enqueue()

    assert drain(limit=150) == Drained(succeeded=150)


def test_only_the_queues_named_are_drained():
    sample.note.using(queue_name="mail").enqueue("mail")
    sample.note.enqueue("other")

    drain(queues="mail")

    assert sample.heard == ["mail"]


def test_a_paused_queue_stays_as_it_is():
    sample.note.using(queue_name="mail").enqueue("mail")
    Store("default").pause("mail")

    assert drain() == Drained()


def test_a_queue_that_a_task_pauses_is_paused_at_once():
    sample.pause_mail.using(priority=1).enqueue()
    sample.note.using(queue_name="mail").enqueue("mail")

    assert drain() == Drained(succeeded=1)


def test_an_error_is_raised_with_the_task_it_is_of():
    result = sample.fail_until.enqueue()
    sample.note.enqueue("not reached")

    with pytest.raises(ValueError, match="no luck") as caught:
        drain()
    result.refresh()

    [note] = caught.value.__notes__
    assert note == (
        f"Raised by task tests.testing.sample.fail_until (id {result.id}, attempt 1) in "
        "drain(); with raise_errors=False it stays in the task's result."
    )
    assert result.status == TaskResultStatus.READY
    assert [error.exception_class for error in result.errors] == [ValueError]
    assert sample.heard == [1]


def test_errors_can_be_kept():
    result = sample.fail_until.enqueue()
    sample.note.enqueue("reached")

    drained = drain(raise_errors=False)

    assert drained == Drained(retried=1, succeeded=1)
    assert drained.results[0].id == result.id
    assert sample.heard == [1, "reached"]


def test_a_retry_waits_for_its_time():
    result = sample.fail_until.enqueue(3)

    drain(raise_errors=False)
    with travel_to(timedelta(seconds=61)):
        second = drain(raise_errors=False)
        with travel_to(timedelta(seconds=121)):
            third = drain()
    result.refresh()

    assert (second, third) == (Drained(retried=1), Drained(succeeded=1))
    assert result.return_value == 3


def test_an_attempt_that_fails_for_good_says_so():
    sample.break_transaction.enqueue("x")

    assert drain(raise_errors=False) == Drained(failed=1)


def test_what_is_discarded_raises_nothing():
    sample.discard.enqueue()

    assert drain() == Drained(discarded=1)


def test_a_task_cannot_end_the_tests():
    result = sample.leave.enqueue()

    with pytest.raises(ErrandsError, match="SystemExit: Raised by task") as caught:
        drain()
    result.refresh()

    assert isinstance(caught.value.__cause__, SystemExit)
    assert result.status == TaskResultStatus.FAILED


def test_hooks_of_tasks_are_called_once_whoever_is_around():
    names = ("drained", "inline")

    with TestCase.captureOnCommitCallbacks(execute=True):
        sample.note_on_commit.enqueue(names[0])
        drain()
    with inline(), TestCase.captureOnCommitCallbacks(execute=True):
        transaction.on_commit(lambda: sample.note_on_commit.enqueue(names[1]))

    noted = Account.objects.order_by("pk").values_list("name", flat=True)
    assert [*noted] == [*names]


def test_ctrl_c_ends_the_tests_and_gives_the_task_back():
    result = sample.press_ctrl_c.enqueue()

    with pytest.raises(KeyboardInterrupt):
        drain()
    result.refresh()

    assert result.status == TaskResultStatus.READY
    assert result.errors == []


def test_a_database_error_does_not_spoil_the_test():
    before = Account.objects.create(name="before")
    sample.break_transaction.enqueue("rolled back")
    sample.note.enqueue("next")

    drained = drain(raise_errors=False)

    assert drained == Drained(failed=1, succeeded=1)
    assert set(Account.objects.filter(name="before")) == {before}


def test_what_is_rolled_back_so_leaves_no_hooks():
    sample.write_tell_and_break.enqueue("rolled back")

    drain(raise_errors=False)

    assert sample.heard == []


def test_a_task_may_catch_a_database_error_as_in_autocommit():
    sample.catch_broken_statement.enqueue()

    assert drain() == Drained(succeeded=1)


def test_hooks_are_called_once_the_attempt_has_ended():
    sample.write_and_tell.enqueue("committed")
    sample.roll_back_and_tell.enqueue("rolled back")

    drain()

    assert sample.heard == ["committed"]


def test_hooks_of_the_test_itself_are_left_alone():
    transaction.on_commit(lambda: sample.heard.append("the test's"))
    sample.note.enqueue("the task's")

    drain()

    assert sample.heard == ["the task's"]


def test_what_a_task_enqueues_on_commit_runs():
    sample.enqueue_note_on_commit.enqueue("later")

    assert drain() == Drained(succeeded=2)
    assert sample.heard == ["later"]


def test_a_transaction_left_open_fails_the_task_and_not_the_test():
    Account.objects.create(name="before")
    result = sample.leave_open.enqueue("left")

    with pytest.raises(ErrandsError, match="inside a transaction of default"):
        drain()
    result.refresh()

    assert list(Account.objects.values_list("name", flat=True)) == ["before"]
    assert len(result.errors) == 1


def test_a_task_that_gives_itself_back_ends_the_drain():
    sample.give_back.enqueue(times=2)
    sample.note.enqueue("after")

    first, second = drain(), drain()

    assert first == Drained(interrupted=1)
    assert second == Drained(succeeded=2)
    assert sample.heard == ["ran", "ran", "after"]


def test_tasks_of_one_slot_run_one_after_another():
    for number in range(3):
        sample.print_page.enqueue(number)

    assert drain() == Drained(succeeded=3)
    assert sample.heard == [0, 1, 2]


def test_a_blocked_task_runs_when_the_one_before_it_was_cancelled():
    sample.print_page.enqueue(0)
    TaskRow.objects.update(state=3)

    assert drain() == Drained(succeeded=1)


def test_a_unique_task_runs_once_until_it_has_ended():
    first, second = sample.only_once.enqueue(1), sample.only_once.enqueue(1)

    assert first.id == second.id
    assert drain() == Drained(succeeded=1)
    assert sample.only_once.enqueue(1).id != first.id


def test_a_task_that_runs_at_most_once_is_not_tried_again():
    sample.mail_everybody.enqueue(fail=True)

    assert drain(raise_errors=False) == Drained(failed=1)
    assert sample.heard == ["mailed"]


def test_a_transactional_task_runs_in_the_tests_transaction():
    sample.book.enqueue("Ann")

    assert drain() == Drained(succeeded=1)
    assert Account.objects.get().name == "Ann"


def test_a_suspect_runs_when_nothing_else_is_ready():
    sample.note.enqueue("suspect")
    TaskRow.objects.update(state=4)
    sample.note.enqueue("first")

    drain()

    assert sample.heard == ["first", "suspect"]


@pytest.mark.parametrize(
    ("alias", "name"), [("dummy", "DummyBackend"), ("immediate", "ImmediateBackend")]
)
def test_other_backends_say_why_they_cannot_be_drained(alias, name):
    with pytest.raises(ErrandsError) as caught:
        drain(backend=alias)

    assert str(caught.value) == (
        f"drain() runs tasks that wait in a database. TASKS['{alias}'] is a {name}, "
        "which keeps none there. Let the tests use errands.queue.DatabaseBackend."
    )


def test_what_is_not_due_waits():
    sample.note.using(run_after=timezone.now() + timedelta(hours=1)).enqueue("later")

    assert drain() == Drained()


@pytest.mark.django_db(transaction=True)
def test_it_works_in_autocommit_too():
    sample.enqueue_note_on_commit.enqueue("committed")
    sample.break_transaction.enqueue("x")

    drained = drain(raise_errors=False)

    assert drained == Drained(succeeded=2, failed=1)
    assert sample.heard == ["committed"]
