"""``inline`` runs what is enqueued before ``enqueue`` returns."""

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.tasks import TaskResultStatus

from errands.exceptions import ErrandsError
from errands.queue.models import TaskRow
from errands.testing import Drained, assert_enqueued, drain, inline, travel_to
from tests.testapp.models import Account
from tests.testing import sample

pytestmark = pytest.mark.django_db


def test_the_task_has_run_when_enqueue_returns():
    with inline():
        result = sample.add.enqueue(1, right=2)

    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 3
    assert result.worker_ids == ["errands.testing"]
    assert not TaskRow.objects.exists()


def test_after_the_block_tasks_wait_again():
    with inline():
        pass
    sample.note.enqueue("waits")

    assert sample.heard == []


def test_many_run_in_their_order():
    with inline():
        results = sample.note.enqueue_many([((number,), {}) for number in range(3)])

    assert sample.heard == [0, 1, 2]
    assert [result.return_value for result in results] == [0, 1, 2]


def test_tasks_of_djangos_own_run_too():
    with inline():
        assert sample.plain.enqueue("x").return_value == "x"


def test_async_callers_and_tasks_work():
    async def call():
        return await sample.think.aenqueue("Ann")

    with inline():
        result = async_to_sync(call)()

    assert result.return_value == 1


def test_what_waits_already_is_left_alone():
    sample.note.enqueue("before")

    with inline():
        sample.note.enqueue("inside")

    assert sample.heard == ["inside"]
    assert_enqueued(sample.note, args=["before"])


def test_retries_are_made_at_once():
    with inline():
        result = sample.fail_until.enqueue(3)

    assert sample.heard == [1, 2, 3]
    assert result.return_value == 3
    assert len(result.errors) == 2


def test_the_last_error_is_raised_where_the_task_was_enqueued():
    with inline(), pytest.raises(ValueError, match="no luck") as caught:
        sample.fail_until.enqueue()

    assert sample.heard == [1, 2, 3]
    assert "attempt 3) in inline(); with raise_errors=False" in caught.value.__notes__[0]


def test_errors_can_be_kept():
    with inline(raise_errors=False):
        result = sample.fail_until.enqueue()

    assert result.status == TaskResultStatus.FAILED
    assert len(result.errors) == 3


def test_the_innermost_block_decides_whether_errors_are_kept():
    with inline():
        with inline(raise_errors=False):
            kept = sample.fail_until.enqueue()
        with pytest.raises(ValueError, match="no luck"):
            sample.fail_until.enqueue()

    assert kept.status == TaskResultStatus.FAILED


def test_the_innermost_block_decides_whether_errors_are_raised():
    with inline(raise_errors=False):
        with inline(), pytest.raises(ValueError, match="no luck"):
            sample.fail_until.enqueue()
        kept = sample.fail_until.enqueue()
    sample.note.enqueue("waits")

    assert kept.status == TaskResultStatus.FAILED
    assert_enqueued(sample.note)


def test_what_is_scheduled_or_over_its_rate_waits():
    with inline():
        later = sample.note.using(run_after=sample.LATER).enqueue("later")
        calls = [sample.call_partner.enqueue(number) for number in range(3)]

    assert sample.heard == [0, 1]
    assert later.status == calls[2].status == TaskResultStatus.READY
    with travel_to(timedelta(hours=2)):
        assert drain() == Drained(succeeded=2)


def test_what_a_task_enqueues_runs_when_its_attempt_has_ended():
    with inline():
        sample.enqueue_note.enqueue("inner")

    assert sample.heard == ["enqueued", "inner"]


def test_an_error_below_does_not_fail_the_task_above(monkeypatch):
    monkeypatch.setattr(sample, "note", sample.fail_until)

    with inline(), pytest.raises(ValueError, match="no luck"):
        sample.enqueue_note.enqueue(99)

    assert sample.heard == ["enqueued", 1, 2, 3]


def test_tasks_that_never_end_are_named():
    with inline(), pytest.raises(ErrandsError, match="more than 100 deep"):
        sample.go_on.enqueue()


def test_the_task_sees_the_callers_transaction():
    with inline(), transaction.atomic():
        account = Account.objects.create(name="Ann")
        result = sample.greet.enqueue(account)

    assert result.return_value == "hello Ann"


def test_a_broken_transaction_is_mended_for_the_caller():
    with inline(raise_errors=False), transaction.atomic():
        Account.objects.create(name="Ann")
        sample.break_transaction.enqueue("rolled back")
        Account.objects.create(name="Bob")

    assert list(Account.objects.values_list("name", flat=True)) == ["Ann", "Bob"]


def test_tasks_of_one_slot_run_one_after_another():
    with inline():
        sample.print_page.enqueue(1)
        sample.print_page.enqueue(2)

    assert sample.heard == [1, 2]


def test_a_duplicate_of_a_unique_task_that_ran_is_a_new_one():
    with inline():
        sample.only_once.enqueue(1)
        sample.only_once.enqueue(1)

    assert sample.heard == [1, 1]


@pytest.mark.django_db(transaction=True)
def test_it_works_in_autocommit_too():
    with inline(), transaction.atomic():
        sample.note.enqueue_on_commit("committed")
        assert sample.heard == []

    assert sample.heard == ["committed"]


@pytest.mark.django_db(transaction=True)
def test_it_works_from_a_running_event_loop():
    with inline():
        asyncio.run(sample.note.aenqueue("from the loop"))

    assert sample.heard == ["from the loop"]
