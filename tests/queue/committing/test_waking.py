"""Who is woken by an enqueue, when, and what happens if nobody can be."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from errands.queue.claiming.selection import Selection
from errands.queue.claims import Settlement
from errands.queue.committing import waking
from errands.queue.committing.waking import WakeUp, subscribe, wake, wake_upkeep
from errands.queue.models import TaskRow
from errands.queue.store import Store
from errands.tasks.outcomes import Snoozed, Succeeded
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[WakeUp]:
    """What is rung in this process."""
    calls: list[WakeUp] = []
    monkeypatch.setattr(waking, "_bells", {})
    subscribe("default", calls.append)
    return calls


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be sent, on whichever database."""
    notified: list[str] = []
    monkeypatch.setattr(waking, "_sent_at", {})
    monkeypatch.setattr(connection, "vendor", "postgresql")
    monkeypatch.setattr(waking, "notify", lambda alias, text: notified.append(text))
    return notified


def test_a_task_wakes_those_who_claim(calls):
    tasks.nothing.enqueue()

    assert calls == [WakeUp.READY]


def test_nobody_is_woken_before_the_commit_or_by_a_rollback(calls):
    with transaction.atomic():
        tasks.nothing.enqueue()
        before = list(calls)
    with transaction.atomic():
        tasks.nothing.enqueue()
        transaction.set_rollback(True)

    assert before == []
    assert calls == [WakeUp.READY]


def test_a_task_that_is_due_soon_wakes_the_upkeep(calls):
    tasks.nothing.using(run_after=timedelta(seconds=2)).enqueue()

    assert calls == [WakeUp.UPKEEP]


def test_a_task_that_is_due_later_than_upkeep_looks_wakes_nobody(calls):
    tasks.nothing.using(run_after=timedelta(seconds=10)).enqueue()

    assert calls == []


def test_in_manual_transaction_mode_there_is_no_wake_up(calls):
    transaction.set_autocommit(False)
    try:
        tasks.nothing.enqueue()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)

    assert calls == []
    assert TaskRow.objects.count() == 1


def test_one_notification_is_sent_in_fifteen_milliseconds(notified, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    for _ in range(25):
        wake(connection)
        now[0] += 0.004

    # At 0, 16, 32, 48, 64, 80 and 96 ms.
    assert notified == ["ready"] * 7


def test_each_kind_of_call_is_sent_on_its_own(notified):
    wake(connection)
    wake_upkeep(connection)

    assert notified == ["ready", "upkeep"]


def test_a_wake_up_that_fails_reaches_nobody_and_swallows_no_other(
    notified, monkeypatch, caplog
):
    def fail(alias: str, text: str) -> None:
        raise OperationalError("the line is dead")

    with monkeypatch.context() as broken:
        broken.setattr(waking, "notify", fail)
        wake(connection)
    wake(connection)

    assert "the line is dead" in caplog.text
    assert notified == ["ready"]


def test_a_receiver_that_raises_reaches_nobody(calls):
    def clang(call: WakeUp) -> None:
        raise RuntimeError("clang")

    subscribe("default", clang)
    tasks.nothing.enqueue()

    assert TaskRow.objects.count() == 1


def test_what_is_given_back_wakes_others(calls, store: Store):
    tasks.nothing.enqueue()
    claims = store.claim(uuid4(), Selection(), 1)
    calls.clear()

    store.release(claims)

    assert calls == [WakeUp.READY]


def test_a_slot_that_a_transactional_task_gives_up_wakes_others(calls, store: Store):
    tasks.nothing.using(concurrency=("partner", 1)).enqueue()
    (claim,), now = store.claim(uuid4(), Selection(), 1), timezone.now()
    settlement = Settlement(claim, Succeeded(None), now, now, "anna")
    calls.clear()

    with transaction.atomic():
        assert store.settle_within(settlement)
        assert calls == []

    assert calls == [WakeUp.READY]


def test_the_instant_decides_whether_the_upkeep_is_woken(calls):
    wake_upkeep(connection, timezone.now() + waking.LONGEST_SLEEP * 2)
    wake_upkeep(connection, timezone.now())
    wake_upkeep(connection)

    assert calls == [WakeUp.UPKEEP] * 2


def test_a_task_that_a_worker_puts_off_for_a_moment_wakes_the_upkeep(calls):
    store, worker_id = Store("default"), uuid4()
    tasks.nothing.enqueue()
    (claim,) = store.claim(worker_id, Selection(), 1)
    calls.clear()

    now = timezone.now()
    put_off = Snoozed(timedelta(seconds=1))
    store.settle([Settlement(claim, put_off, now, now, "host:1")])

    assert calls == [WakeUp.UPKEEP]


def test_a_call_leaves_the_session_and_open_transactions_as_durable_as_they_are(
    monkeypatch,
):
    monkeypatch.setattr(waking, "_sent_at", {})
    with connection.cursor() as cursor:
        before = durability(cursor)
        wake(connection)
        after = durability(cursor)
        waking._sent_at.clear()
        cursor.execute("BEGIN")
        wake(connection)
        within = durability(cursor)
        cursor.execute("ROLLBACK")

    assert before == after == within


def durability(cursor: CursorWrapper) -> object:
    """Return what the session says; None where a NOTIFY does not exist either."""
    if connection.vendor != "postgresql":
        return None
    cursor.execute("SHOW synchronous_commit")
    return cursor.fetchone()
