"""What a caller leaves open, and whom that does not hold up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.queue.writing import interventions
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 10
once = tasks.add.using(unique=True)


class _Caller:
    """A caller in a thread of its own, which waits to be released."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.has_waited = False
        self._act = act
        self._has_acted, self._released = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._call)
        self._thread.start()
        self._has_acted.wait(60)

    def release(self) -> None:
        """Let it commit; whether it still could says whether nobody waited for it."""
        self._released.set()
        self._thread.join(60)

    def _call(self) -> None:
        try:
            # SQLite has one writer: there it has committed before anybody else comes.
            if connection.vendor == "sqlite":
                self._act()
                self._wait()
            else:
                with transaction.atomic():
                    self._act()
                    self._wait()
        finally:
            connections.close_all()

    def _wait(self) -> None:
        self._has_acted.set()
        self.has_waited = self._released.wait(PATIENCE_SECONDS)


@contextmanager
def nobody_waits_for(act: Callable[[], object]) -> Iterator[None]:
    """Let a caller act in a transaction that stays open during the block."""
    caller = _Caller(act)
    try:
        yield
    finally:
        caller.release()
    assert caller.has_waited, "somebody waited for the caller to commit"


def test_settling_waits_for_nobody_who_has_enqueued(worker):
    tasks.nothing.enqueue_many([((), {})] * 4)
    claims = worker.claim()

    with nobody_waits_for(tasks.nothing.enqueue):
        settled = worker.succeed(claims)

    assert len(settled) == 4


def test_pruning_waits_for_nobody_who_has_cancelled(worker, store, settings):
    settings.ERRANDS = {"KEEP_FAILED": timedelta()}
    tasks.nothing.enqueue_many([((), {})] * 4)
    worker.fail(worker.claim())
    waiting = tasks.nothing.enqueue()

    with nobody_waits_for(lambda: store.backend.cancel(waiting.id)):
        pruned = store.prune()

    assert pruned >= 4


@pytest.mark.parametrize("calls", [1, 3])
def test_a_key_that_is_live_is_only_looked_at(worker, calls):
    running = once.enqueue_many([((number,), {}) for number in range(calls)])
    claims = worker.claim()

    def enqueue_again() -> None:
        again = once.enqueue_many([((number,), {}) for number in range(calls)])
        assert [each.id for each in again] == [each.id for each in running]

    with nobody_waits_for(enqueue_again):
        settled = worker.succeed(claims)
        tasks.nothing.enqueue()

    assert len(settled) == calls


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_settling_waits_for_nobody_who_asked_what_runs_to_stop(worker, store, act):
    running = tasks.nothing.enqueue()
    claims = worker.claim()

    with nobody_waits_for(lambda: getattr(store.backend, act)(running.id)):
        settled = worker.succeed(claims)

    assert len(settled) == 1


def test_settling_waits_for_nobody_who_has_resumed_a_queue(worker, store: Store):
    shared = tasks.nothing.using(concurrency=("shared", 2))
    shared.enqueue_many([((), {})] * 2)
    free, held = worker.claim()
    shared.using(queue_name="mail").enqueue_many([((), {})] * 2)
    worker.claim()
    store.pause("mail")
    worker.succeed([free])

    with nobody_waits_for(lambda: store.resume("mail")):
        settled = worker.succeed([held])

    assert len(settled) == 1
    assert TaskRow.objects.filter(state=TaskState.READY).count() == 2


def test_what_is_blocked_in_a_paused_queue_has_no_say_in_the_limit_of_others(
    worker, store: Store
):
    narrow = tasks.nothing.using(queue_name="a", concurrency=("shared", 1))
    wide = tasks.nothing.using(queue_name="b", concurrency=("shared", 3))
    narrow.enqueue()
    worker.claim()
    narrow.enqueue()
    wide.enqueue_many([((), {})] * 3)
    TaskRow.objects.filter(state=TaskState.READY).update(state=TaskState.BLOCKED)
    store.pause("a")

    promoted = store.unblock()

    assert promoted == 2
    assert TaskRow.objects.filter(state=TaskState.READY, queue="b").count() == 2


def test_what_somebody_has_discarded_meanwhile_is_not_ready_again(worker):
    result = tasks.nothing.enqueue()
    worker.fail(worker.claim())

    def discard_first(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if sql.startswith("UPDATE errands_task SET run_at"):
            execute("DELETE FROM errands_result", [], False, context)
        return answer

    row = ResultRow.objects.get()
    with connection.execute_wrapper(discard_first):
        revived = interventions.revive("default", row.uuid)

    assert not revived
    assert str(row.uuid) == result.id
    assert not TaskRow.objects.exists()


@pytest.fixture
def _latin_database(transactional_db: None) -> Iterator[None]:
    """Let the database of a MySQL server have the character set of old ones."""
    alter = f"ALTER DATABASE `{connection.settings_dict['NAME']}` CHARACTER SET"
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute(f"{alter} latin1")
        connection.close()
    yield
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute(f"{alter} utf8mb4")
        connection.close()


@pytest.mark.usefixtures("_latin_database")
def test_keys_are_kept_whatever_the_character_set_of_the_database():
    keyed = tasks.echo.using(concurrency=("{value}", 1), unique=True)

    keyed.enqueue_many([(("日本 🚲",), {}), (("Köln",), {})])

    rows = TaskRow.objects.order_by("id")
    assert list(rows.values_list("concurrency_key", flat=True)) == ["日本 🚲", "Köln"]
    assert len(set(rows.values_list("unique_key", flat=True))) == 2
