"""Transactions of the queue end though their client says nothing.

On PostgreSQL, that is. The others know no such limit for one transaction: there
the same transactions go on, and commit.
"""

import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.utils import CursorWrapper

from errands.queue.committing import transactions
from errands.queue.committing.transactions import brief
from errands.queue.models import ResultRow
from errands.queue.states import ResultStatus
from errands.queue.store import Store
from errands.queue.throttling.concurrency import promote
from errands.queue.writing import settling
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

ENDS_THE_SILENT = connection.vendor == "postgresql"
LONG_ENOUGH = 30.0
KEY = "default partner"

alone = tasks.nothing.using(concurrency=("partner", 1))


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(transactions, "LONGEST_SILENCE", timedelta(milliseconds=100))


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads
        threads.submit(connections.close_all)


def cut_off() -> AbstractContextManager[object]:
    if not ENDS_THE_SILENT:
        return nullcontext()
    return pytest.raises(OperationalError, match="idle-in-transaction")


def fall_silent(cursor: CursorWrapper) -> None:
    """Say nothing until the server has had enough of it."""
    if ENDS_THE_SILENT:
        connected = [cursor.connection]
        readable, _, _ = select.select(connected, [], [], LONG_ENOUGH)
        assert readable == connected


def hold_the_lock(store: Store) -> None:
    with brief("default") as cursor:
        store._statements.lock_keys(cursor, [KEY])
        fall_silent(cursor)
        cursor.execute("SELECT 1")


def test_to_its_client_a_silent_transaction_is_an_outage_and_soon_over(store):
    with cut_off():
        hold_the_lock(store)

    hold_nothing = alone.enqueue()
    assert alone.get_result(hold_nothing.id).status == "READY"


def test_who_waits_for_its_locks_gets_them(store, thread):
    frozen = thread.submit(hold_the_lock, store)

    promote("default", [KEY])

    with cut_off():
        frozen.result(LONG_ENOUGH)


def test_a_success_that_was_cut_off_is_no_failure_and_settled_again(worker, monkeypatch):
    alone.enqueue()
    claims = worker.claim()
    record = settling.record

    def record_late(statements, cursor, records):
        fall_silent(cursor)
        return record(statements, cursor, records)

    with monkeypatch.context() as late:
        late.setattr(settling, "record", record_late)
        with cut_off():
            worker.succeed(claims)
    worker.succeed(claims)

    assert ResultRow.objects.get().status == ResultStatus.SUCCEEDED


def test_a_transaction_of_the_callers_keeps_its_rules():
    with transaction.atomic():
        with brief("default") as cursor:
            cursor.execute("SELECT 1")
        with connection.cursor() as cursor:
            assert silence_allowed(cursor) in {None, "0"}


def test_so_does_one_that_the_caller_commits_by_hand():
    transaction.set_autocommit(False)
    try:
        with brief("default") as cursor:
            cursor.execute("SELECT 1")
        with connection.cursor() as cursor:
            assert silence_allowed(cursor) in {None, "0"}
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def silence_allowed(cursor: CursorWrapper) -> str | None:
    if not ENDS_THE_SILENT:
        return None
    cursor.execute("SELECT current_setting('idle_in_transaction_session_timeout')")
    return str(cursor.fetchone()[0])
