"""A task exists if, and only if, the caller's transaction commits."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import django.tasks
import pytest
from django.db import connection, transaction
from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from errands import task
from errands.arguments import encode_call
from errands.exceptions import ArgumentError, SignatureMismatch
from errands.queue import backend as backend_module
from errands.queue.backend import UnfindableTask
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Payload
from errands.queue.looking.results import new_result
from errands.queue.models import TaskRow
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.queue.writing import enqueueing
from tests.queue.unfindable import hidden
from tests.testapp import tasks
from tests.testapp.models import Account

NEW_YEAR = datetime(2999, 1, 1, tzinfo=UTC)
FAR_WEST = timezone.get_fixed_timezone(timedelta(hours=-23))
unnamed = lambda: None  # noqa: E731 - what a task must not be

pytestmark = pytest.mark.django_db(transaction=True)


def test_enqueueing_in_a_rolled_back_transaction_leaves_nothing():
    with pytest.raises(RuntimeError), transaction.atomic():
        result = tasks.add.enqueue(1)
        tasks.add.enqueue_many([((1,), {}), ((2,), {})])
        raise RuntimeError

    assert TaskRow.objects.count() == 0
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(result.id)


def test_enqueueing_on_commit_waits_for_the_commit():
    with transaction.atomic():
        tasks.add.enqueue_on_commit(1)
        inside = TaskRow.objects.count()

    assert (inside, TaskRow.objects.count()) == (0, 1)


def test_enqueueing_on_commit_in_a_rolled_back_transaction_leaves_nothing():
    with pytest.raises(RuntimeError), transaction.atomic():
        tasks.add.enqueue_on_commit(1)
        raise RuntimeError

    assert TaskRow.objects.count() == 0


def test_what_is_enqueued_on_commit_travels_in_the_context_of_the_call():
    with transaction.atomic(), translation.override("de"):
        with timezone.override("Asia/Tokyo"):
            tasks.language_and_zone.enqueue_on_commit()
        translation.activate("en")

    call = Payload.parse(TaskRow.objects.get().payload)
    assert call.carried == {"language": "de", "time_zone": "Asia/Tokyo"}


def test_a_wrong_call_on_commit_raises_at_once():
    with pytest.raises(TypeError), transaction.atomic():
        tasks.add.enqueue_on_commit("a", wrong=1)


def test_many_calls_keep_their_order_and_are_all_readable():
    results = tasks.add.enqueue_many([((number,), {}) for number in range(200)])

    stored = TaskRow.objects.order_by("id").values_list("uuid", flat=True)
    assert [str(uuid) for uuid in stored] == [result.id for result in results]
    assert tasks.add.get_result(results[-1].id).args == [199]
    assert tasks.add.enqueue_many([]) == []


def test_a_task_for_later_is_scheduled_and_one_overdue_is_ready():
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1)
    tasks.add.using(run_after=timezone.now() - timedelta(hours=1)).enqueue(2)

    states = TaskRow.objects.order_by("id").values_list("state", flat=True)
    assert list(states) == [TaskState.SCHEDULED, TaskState.READY]


@pytest.mark.parametrize(
    ("run_after", "state"),
    [
        (datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")), TaskState.READY),
        (datetime.max.replace(tzinfo=ZoneInfo("America/New_York")), TaskState.SCHEDULED),
        (timedelta.min, TaskState.READY),
        (timedelta.max, TaskState.SCHEDULED),
        (datetime(2031, 4, 1, tzinfo=FAR_WEST), TaskState.SCHEDULED),
    ],
    ids=["before year 1", "after year 9999", "long ago", "as good as never", "far west"],
)
def test_an_instant_beyond_the_calendar_or_the_map_is_stored_so_that_all_can_read_it(
    store: Store, run_after: datetime | timedelta, state: TaskState
):
    enqueued = tasks.add.using(run_after=run_after).enqueue(1)

    assert tasks.add.get_result(enqueued.id).status == TaskResultStatus.READY
    assert TaskRow.objects.get().state == state
    assert len(store.claim(uuid4(), Selection(), 1)) == (state == TaskState.READY)
    assert state == TaskState.READY or store.next_due() > timedelta(days=1)


def test_a_distance_counts_where_the_backend_is_called_itself_too():
    backend = task_backends["default"]

    backend.enqueue(tasks.add.using(run_after=timedelta(hours=1)), [1], {})

    assert TaskRow.objects.get().state == TaskState.SCHEDULED


@pytest.mark.parametrize(
    "run_after",
    [timedelta(hours=1), NEW_YEAR, NEW_YEAR.replace(tzinfo=None)],
)
def test_a_site_without_time_zones_defers_and_reads_naive_instants(
    settings, store: Store, run_after: datetime | timedelta
):
    settings.USE_TZ = False

    enqueued = tasks.add.using(run_after=run_after).enqueue(1)

    read = tasks.add.get_result(enqueued.id)
    assert TaskRow.objects.get().state == TaskState.SCHEDULED
    assert store.next_due() > timedelta(minutes=59)
    assert read.enqueued_at == enqueued.enqueued_at
    assert timezone.is_naive(read.task.run_after)


def test_the_result_can_be_read_back_as_it_was_returned():
    enqueued = tasks.echo.using(priority=5, queue_name="mail").enqueue([1, "\0\ud800"])

    read = tasks.echo.get_result(enqueued.id)

    assert read == enqueued
    assert read.status == TaskResultStatus.READY
    assert (read.task.priority, read.task.queue_name) == (5, "mail")


@pytest.mark.parametrize("missing", ["", "7", "not-a-uuid", "0" * 32, None])
def test_an_id_that_means_nothing_does_not_exist(missing):
    with pytest.raises(TaskResultDoesNotExist):
        tasks.add.get_result(missing)


def test_a_result_is_no_id():
    result = tasks.add.enqueue(1)

    with pytest.raises(TaskResultDoesNotExist) as caught:
        tasks.add.get_result(result)

    assert str(caught.value) == (
        f"{result!r:.60} is no id of a task: that is a text or a UUID, such as result.id."
    )


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "x" * 101, "", "*", "a,b", "a:2", " a"])
def test_a_queue_name_that_cannot_be_stored_is_refused(name):
    with pytest.raises(InvalidTask, match=f"Queue name {re.escape(repr(name))} is"):
        tasks.add.using(queue_name=name)


@pytest.mark.parametrize("decorator", [task, django.tasks.task], ids=["ours", "django"])
def test_a_lambda_is_refused_because_all_of_a_module_have_one_name(decorator):
    with pytest.raises(InvalidTask) as refused:
        decorator(unnamed)

    assert str(refused.value) == (
        "A lambda of tests.queue.writing.test_enqueueing has no name of its own, and a "
        "worker finds a task by its name. Make it a function with def."
    )


def test_the_results_of_many_are_made_when_somebody_looks(monkeypatch):
    made = []

    def counting(*args: Any, **kwargs: Any) -> object:
        made.append(1)
        return new_result(*args, **kwargs)

    monkeypatch.setattr(backend_module, "new_result", counting)

    results = tasks.add.enqueue_many([((number,), {}) for number in range(3)])
    made_at_first, count = len(made), len(results)

    assert (made_at_first, count) == (0, 3)
    assert [result.args for result in results] == [[0], [1], [2]]
    assert results[1] is results[1]
    assert repr(results) == repr(list(results))
    assert [result.args for result in results[1:]] == [[1], [2]]
    assert len(made) == 3


@pytest.mark.parametrize("number", [1, 3])
def test_each_call_is_told_to_who_wants_to_hear_of_it(monkeypatch, number):
    told = []
    monkeypatch.setattr(task_enqueued, "receivers", task_enqueued.receivers[:])
    task_enqueued.connect(lambda **sent: told.append(sent["task_result"]), weak=False)

    results = tasks.add.enqueue_many([((0,), {})] * number)

    assert [result.id for result in told] == [result.id for result in results]


def test_each_call_is_logged_where_that_is_wanted(caplog):
    with caplog.at_level("DEBUG", "django.tasks"):
        results = tasks.add.enqueue_many([((0,), {})] * 2)

    assert [
        f"Task id={result.id} path=tests.testapp.tasks.add enqueued backend=default"
        for result in results
    ] == caplog.messages


def test_a_receiver_that_raises_changes_nothing(caplog):
    def broken(**kwargs: object) -> None:
        raise RuntimeError("receiver")

    task_enqueued.connect(broken)
    try:
        result = tasks.add.enqueue(1)
    finally:
        task_enqueued.disconnect(broken)

    assert tasks.add.get_result(result.id).status == TaskResultStatus.READY
    assert "receiver" in caplog.text


def test_a_task_that_workers_would_not_import_warns_and_says_what_to_do():
    with pytest.warns(UnfindableTask, match=r"add 'tests.queue.unfindable' to ERRANDS"):
        hidden.enqueue()


async def test_enqueueing_and_reading_work_from_async_code():
    enqueued = await tasks.think.aenqueue(3)

    assert (await tasks.think.aget_result(enqueued.id)).args == [3]


async def test_many_calls_are_stored_from_async_code():
    account = await Account.objects.acreate(name="Ada")

    results = await tasks.name_of.aenqueue_many([((account,), {}), ((account,), {})])

    assert [result.args[0]["$"] for result in results] == ["model", "model"]
    assert await TaskRow.objects.acount() == 2


async def test_many_calls_from_async_code_are_checked_before_the_first_is_stored():
    with pytest.raises(SignatureMismatch):
        await tasks.add.aenqueue_many([((1,), {}), ((), {})])

    assert not await TaskRow.objects.aexists()


async def test_a_record_reaches_a_coroutine():
    account = await Account.objects.acreate(name="Ada")
    wire, _ = encode_call([account], {})

    assert await tasks.name_of.acall(*wire) == "Ada"


async def test_a_record_can_be_enqueued_from_async_code():
    account = await Account.objects.acreate(name="Ada")

    enqueued = await tasks.name_of.aenqueue(account)

    assert enqueued.args == [
        {"$": "model", "v": ["testapp.account", str(account.pk), "default"]}
    ]


def test_a_plain_task_is_not_stored_with_what_is_no_json():
    with pytest.raises(ArgumentError, match="cannot be stored as JSON"):
        tasks.plain.enqueue([math.nan])

    assert TaskRow.objects.count() == 0


@pytest.mark.parametrize("options", [{}, {"unique": True}], ids=["plain", "unique"])
def test_what_is_too_long_for_one_statement_is_cut_and_stored_whole(monkeypatch, options):
    monkeypatch.setattr(enqueueing, "STATEMENT_LIMIT", 1000)
    calls = [(("x" * 200, number), {}) for number in range(20)]
    task = tasks.add.using(**options)

    results = task.enqueue_many(calls)

    ids = set(TaskRow.objects.values_list("uuid", flat=True))
    assert {str(uuid) for uuid in ids} == {result.id for result in results}
    assert len(ids) == 20


def test_tens_of_thousands_are_one_statement():
    calls = [((number,), {}) for number in range(20_000)]

    with CaptureQueriesContext(connection) as queries:
        tasks.add.enqueue_many(calls)

    assert ["INSERT" in query["sql"] for query in queries].count(True) == 1
    assert TaskRow.objects.count() == 20_000


@pytest.mark.parametrize("queue_name", ["it's", 'a"b', "häh", "a\\b", "100%s", "a b"])
def test_whatever_a_text_holds_is_stored_as_it_is(queue_name, store: Store):
    text = "it's \\ a 'test' %s %(x)s \" \0 ä \U0001f600 $1 $$"

    result = tasks.echo.using(queue_name=queue_name).enqueue(text)

    assert tasks.echo.get_result(result.id).args == [text]
    (claim,) = store.claim(uuid4(), Selection((queue_name,)), 1)
    assert claim.queue == queue_name
