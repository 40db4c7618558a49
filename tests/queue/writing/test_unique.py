"""One live task per unique key, and everybody gets its result."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.tasks.signals import task_enqueued

from errands.queue.models import TaskRow
from errands.queue.statements import statements_for
from errands.queue.states import TaskState
from errands.tasks.outcomes import AttemptError, Retry
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

once = tasks.add.using(unique=("left",))


@pytest.fixture
def enqueued():
    seen: list[str] = []

    def note(task_result, **kwargs: object) -> None:
        seen.append(task_result.id)

    task_enqueued.connect(note)
    yield seen
    task_enqueued.disconnect(note)


def test_a_duplicate_gets_the_result_of_the_task_that_lives(enqueued):
    first = once.enqueue(1, 2)
    again, other = once.enqueue(1, 3), once.enqueue(2, 3)

    assert (again.id, again.args, again.status) == (first.id, [1, 2], first.status)
    assert enqueued == [first.id, other.id]
    assert TaskRow.objects.count() == 2


def test_all_arguments_are_compared_with_their_defaults_and_in_any_spelling():
    every = tasks.add.using(unique=True)

    assert every.enqueue(1).id == every.enqueue(left=1, right=1).id
    assert every.enqueue(1).id != every.enqueue(1, 2).id


def test_another_task_with_the_same_arguments_is_no_duplicate():
    template = "account:{value}"

    first = tasks.echo.using(unique=template).enqueue(1)
    again = tasks.echo.using(unique=template, priority=5).enqueue(1)
    other = tasks.add.using(unique="account:{left}").enqueue(1)

    assert first.id == again.id != other.id


@pytest.mark.parametrize("state", TaskState)
def test_the_key_is_held_until_the_end(state, worker):
    first = once.enqueue(1)
    if state == TaskState.SCHEDULED:
        error = AttemptError.of(ValueError())
        worker.settle(worker.claim(), Retry(timedelta(hours=1), error))
    elif state == TaskState.RUNNING:
        worker.claim()
    else:
        TaskRow.objects.update(state=state)

    again = once.enqueue(1)

    assert again.id == first.id
    assert TaskRow.objects.get().state == state


def test_the_key_is_free_again_after_the_end(worker):
    first = once.enqueue(1)
    worker.succeed(worker.claim())

    assert once.enqueue(1).id != first.id


def test_duplicates_within_one_call_are_stored_once_and_in_their_order(enqueued):
    known = once.enqueue(2)

    results = once.enqueue_many([((number,), {}) for number in (5, 3, 2, 3, 5, 1)])

    ids = [result.id for result in results]
    assert ids[2] == known.id
    assert (ids[0], ids[1]) == (ids[4], ids[3])
    rows = TaskRow.objects.order_by("id").values_list("uuid", flat=True)
    assert list(map(str, rows)) == [known.id, ids[0], ids[1], ids[5]]
    assert enqueued == [known.id, ids[0], ids[1], ids[5]]


def test_many_duplicates_are_found_in_few_statements(django_assert_max_num_queries):
    calls = [((number,), {}) for number in range(1200)]
    first = once.enqueue_many(calls)

    with django_assert_max_num_queries(12):
        again = once.enqueue_many(calls)

    assert [result.id for result in again] == [result.id for result in first]
    assert TaskRow.objects.count() == 1200


def test_a_task_claimed_at_once_is_not_taken_for_one_that_ended(worker, monkeypatch):
    statements = type(statements_for(connection))
    insert = statements.insert_one

    def insert_and_run(*args: object) -> bool:
        is_stored = bool(insert(*args))
        if not connection.in_atomic_block:
            worker.succeed(worker.claim())
        return is_stored

    monkeypatch.setattr(statements, "insert_one", insert_and_run)

    result = once.enqueue(1)

    assert tasks.add.get_result(result.id).is_finished
    assert TaskRow.objects.count() == 0


def test_five_at_once_four_of_them_rolled_back_leave_one():
    barrier = threading.Barrier(5, timeout=60)

    def enqueue(number: int) -> str:
        barrier.wait()
        try:
            with transaction.atomic():
                result = once.enqueue(1, number)
                if number:
                    raise RuntimeError
            return result.id
        finally:
            connections.close_all()

    def attempt(number: int) -> str | None:
        with suppress(RuntimeError):
            return enqueue(number)
        return None

    with ThreadPoolExecutor(5) as pool:
        ids = set(pool.map(attempt, range(5))) - {None}

    assert len(ids) == 1
    assert {str(uuid) for uuid in TaskRow.objects.values_list("uuid", flat=True)} == ids


def test_who_waits_for_a_transaction_gets_its_task_or_goes_ahead():
    asked, answers = threading.Event(), []

    def enqueue() -> None:
        asked.set()
        try:
            answers.append(once.enqueue(1).id)
        finally:
            connections.close_all()

    def race(*, rolled_back: bool) -> tuple[str, str]:
        other = threading.Thread(target=enqueue)
        with suppress(RuntimeError), transaction.atomic():
            mine = once.enqueue(1).id
            other.start()
            asked.wait(10)
            if rolled_back:
                raise RuntimeError
        other.join(20)
        return mine, answers.pop()

    mine, theirs = race(rolled_back=True)
    assert mine != theirs

    TaskRow.objects.all().delete()
    mine, theirs = race(rolled_back=False)
    assert mine == theirs


def test_two_bulks_with_the_same_keys_in_opposite_orders_do_not_deadlock():
    numbers = list(range(300))
    barrier = threading.Barrier(2, timeout=60)

    def enqueue(order: list[int]) -> dict[int, str]:
        barrier.wait()
        try:
            results = once.enqueue_many([((number,), {}) for number in order])
            return {result.args[0]: result.id for result in results}
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            one, two = pool.map(enqueue, (numbers, numbers[::-1]))
            assert one == two
            TaskRow.objects.all().delete()


def test_a_key_that_is_given_up_while_its_owner_is_looked_for_is_taken(monkeypatch):
    from errands.queue.writing import enqueueing

    live, rounds = enqueueing._live, []
    gone = once.enqueue(1)

    def end_first(cursor, keys):
        if not rounds:
            TaskRow.objects.all().delete()
        rounds.append(keys)
        return live(cursor, keys)

    monkeypatch.setattr(enqueueing, "_live", end_first)

    result = once.enqueue(1)

    assert len(rounds) == 2
    assert str(TaskRow.objects.get().uuid) == result.id != gone.id
