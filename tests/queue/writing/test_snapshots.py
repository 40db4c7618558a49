"""Callers whose transaction sees the past: they are refused, and may begin anew."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, connections, transaction

from errands.queue.models import TaskRow
from errands.queue.store import Store
from tests.testapp import tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(60)]

REPEATABLE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads
        threads.submit(connections.close_all)


@pytest.fixture
def snapshot(monkeypatch) -> Callable[[], object]:
    """Return a function that opens a transaction which sees all as it was then."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        monkeypatch.setattr(connections["default"], "transaction_mode", "DEFERRED")

    @contextmanager
    def open_one() -> Iterator[None]:
        if connection.vendor == "mysql":
            set_level()
        with transaction.atomic():
            if connection.vendor == "postgresql":
                set_level()
            TaskRow.objects.exists()
            yield

    return open_one


def set_level() -> None:
    with connection.cursor() as cursor:
        cursor.execute(REPEATABLE)


@pytest.mark.parametrize("act", ["cancel", "discard"])
@pytest.mark.parametrize("has_ended", [False, True])
def test_who_sees_a_task_wait_that_does_not_any_more_is_refused(
    act: str, has_ended, store: Store, worker, snapshot, thread
):
    result = tasks.nothing.enqueue()

    def attempt() -> None:
        claims = worker.claim()
        if has_ended:
            worker.succeed(claims)

    with pytest.raises(OperationalError), snapshot():
        thread.submit(attempt).result(30)
        getattr(store.backend, act)(result.id)
