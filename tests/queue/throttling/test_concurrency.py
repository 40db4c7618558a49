"""Tasks that share a limit: never more at once, and nobody waits for a free slot."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import Count
from django.utils import timezone

from errands.conf import settings
from errands.queue.claims import Claim
from errands.queue.limits import MOST_KEYS
from errands.queue.living.rescuing import rescue_lost
from errands.queue.models import TaskRow
from errands.queue.statements import statements_for
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.tasks.outcomes import AttemptError, Interrupted, Retry, Snoozed
from tests.queue.conftest import ManualWorker
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

one_each = tasks.echo.using(concurrency=("account:{value}", 1))
two = tasks.nothing.using(concurrency=("partner", 2))


def states() -> list[int]:
    return list(TaskRow.objects.order_by("id").values_list("state", flat=True))


def ready() -> int:
    return TaskRow.objects.filter(state=TaskState.READY).count()


def test_no_more_than_the_limit_run_and_the_rest_is_blocked(worker):
    two.enqueue_many([((), {})] * 5)

    claims = worker.claim()

    assert len(claims) == 2
    assert states() == [TaskState.RUNNING] * 2 + [TaskState.BLOCKED] * 3
    slots = TaskRow.objects.filter(slot__isnull=False).values_list("slot", flat=True)
    assert sorted(slots) == [0, 1]
    assert worker.claim() == []


def test_a_claim_carries_what_the_attempt_needs(worker):
    two.using(metadata={"tenant": 7}).enqueue()

    (claim,) = worker.claim()

    assert (claim.concurrency_key, claim.metadata) == ("partner", {"tenant": 7})
    assert (claim.token, claim.attempt) == (1, 1)


def test_keys_do_not_wait_for_each_other(worker):
    one_each.enqueue_many([((account,), {}) for account in (1, 1, 2, 2, 3)])

    claims = worker.claim()

    assert [claim.concurrency_key for claim in claims] == [
        f"account:{n}" for n in (1, 2, 3)
    ]


def test_no_transaction_takes_more_locks_than_a_server_has_room_for(worker, monkeypatch):
    statements, taken = statements_for(connections["default"]), []
    lock_keys = statements.lock_keys

    def note(cursor, keys):
        taken.append(len(keys))
        lock_keys(cursor, keys)

    monkeypatch.setattr(statements, "lock_keys", note)
    one_each.enqueue_many([((account,), {}) for account in range(600)])

    claims = worker.claim(limit=600)
    ended = worker.succeed(claims)

    assert len(claims) == len(ended) == 600
    assert sum(taken) >= 1200
    assert max(taken) <= MOST_KEYS


def test_tasks_behind_many_of_a_full_key_are_claimed_at_once(worker):
    two.enqueue_many([((), {})] * 700)
    tasks.nothing.enqueue()

    claims = worker.claim(limit=5)

    assert [claim.concurrency_key for claim in claims] == ["partner", "partner", None]


def test_priority_decides_among_the_ready_and_among_the_blocked(worker):
    for priority in (0, 5, 10, -5):
        one_each.using(priority=priority).enqueue("a")

    order = []
    while claims := worker.claim():
        order += [claim.priority for claim in claims]
        worker.succeed(claims)

    assert order == [10, 5, 0, -5]


@pytest.mark.parametrize(
    "leave",
    [
        lambda worker, claims: worker.succeed(claims),
        lambda worker, claims: worker.fail(claims),
        lambda worker, claims: worker.store.release(claims),
        lambda worker, claims: worker.settle(claims, Interrupted()),
        lambda worker, claims: worker.settle(claims, Snoozed(timedelta(hours=1))),
        lambda worker, claims: worker.settle(
            claims, Retry(timedelta(hours=1), AttemptError.of(ValueError()))
        ),
        lambda worker, claims: (worker.expire(), rescue_lost(worker.store)),
    ],
    ids=["finish", "fail", "release", "interrupt", "snooze", "retry", "rescue"],
)
def test_whatever_ends_an_attempt_frees_its_slot_and_promotes_the_next(
    worker, new_worker, leave
):
    one_each.enqueue_many([(("a",), {})] * 3)
    claims = worker.claim()

    leave(worker, claims)

    assert not TaskRow.objects.filter(slot__isnull=False).exists()
    blocked = TaskRow.objects.filter(state=TaskState.BLOCKED).count()
    assert (blocked, new_worker().claim()[0].concurrency_key) == (1, "account:a")


def test_a_batch_promotes_as_many_as_it_frees(worker):
    five = tasks.nothing.using(concurrency=("partner", 5))
    five.enqueue_many([((), {})] * 20)
    claims = worker.claim(limit=20)
    assert len(claims) == 5

    worker.succeed(claims[:3])

    assert ready() == 3
    assert len(worker.claim(limit=20)) == 3


def test_a_zombie_frees_no_slot(worker, new_worker):
    one_each.enqueue_many([(("a",), {})] * 2)
    zombies = worker.claim()
    worker.expire()
    rescue_lost(worker.store)
    other = new_worker()
    claims = other.claim()

    worker.succeed(zombies)

    assert TaskRow.objects.filter(slot=0).count() == len(claims) == 1
    assert other.claim() == []


def test_a_limit_that_was_lowered_is_kept_and_one_that_was_raised_is_used(worker):
    tasks.nothing.using(concurrency=("partner", 3)).enqueue_many([((), {})] * 3)
    assert len(worker.claim()) == 3
    tasks.nothing.using(concurrency=("partner", 2)).enqueue()
    assert worker.claim() == []

    tasks.nothing.using(concurrency=("partner", 4)).enqueue()

    assert len(worker.claim()) == 1


def test_cancelling_who_was_let_through_lets_the_next_one_through(worker, store):
    results = one_each.enqueue_many([(("a",), {})] * 4)
    worker.succeed(worker.claim())
    assert ready() == 1

    store.backend.cancel(results[1].id)
    with transaction.atomic():
        store.backend.cancel(results[2].id)

    (claim,) = worker.claim()
    assert str(claim.uuid) == results[3].id


def test_those_of_a_paused_queue_are_not_let_through(worker, store):
    one_each.enqueue("a")
    (first,) = worker.claim()
    one_each.using(queue_name="mail").enqueue("a")
    one_each.enqueue("a")
    assert worker.claim() == []
    store.pause("mail")

    worker.succeed([first])
    (second,) = worker.claim()
    worker.succeed([second])

    assert (second.queue, states()) == ("default", [TaskState.BLOCKED])
    store.resume("mail")
    assert worker.claim()[0].queue == "mail"


def test_the_sweep_promotes_what_nobody_did(worker, store):
    one_each.enqueue_many([((account,), {}) for account in ("a", "a", "b", "b", "c")])
    TaskRow.objects.filter(payload__contains='["a"]').update(state=TaskState.BLOCKED)
    TaskRow.objects.filter(payload__contains='["b"]').update(state=TaskState.BLOCKED)

    assert store.unblock() == 2
    assert len(worker.claim()) == 3
    assert store.unblock() == 0


def test_a_slot_cannot_be_taken_twice_whatever_goes_wrong(worker):
    one_each.enqueue_many([(("a",), {})] * 2)
    worker.claim()

    with pytest.raises(IntegrityError), transaction.atomic():
        TaskRow.objects.filter(slot__isnull=True).update(slot=0)


def test_a_claim_that_meets_a_taken_slot_claims_nothing(worker, monkeypatch, caplog):
    one_each.enqueue_many([(("a",), {})] * 2)
    assert len(worker.claim()) == 1
    TaskRow.objects.filter(state=TaskState.BLOCKED).update(state=TaskState.READY)
    monkeypatch.setattr(
        "errands.queue.throttling.concurrency.slots_taken",
        lambda *_: {"account:a": set()},
    )

    assert worker.claim() == []
    assert "a slot was taken twice" in caplog.text


@contextmanager
def on_another_connection() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(connections.close_all).result()


@pytest.mark.parametrize("first", ["block", "finish"])
def test_no_wake_up_is_lost_between_blocking_and_finishing(
    first, worker, new_worker, monkeypatch
):
    """Stop one of the two within its transaction until the other waits for it."""
    one_each.enqueue("a")
    holder = worker.claim()
    one_each.enqueue("a")
    inside, go_on = threading.Event(), threading.Event()
    name = {"block": "block", "finish": "promote"}[first]
    statements = worker.store._statements
    real = getattr(statements, name)

    def stop_after(*args: object, **kwargs: object) -> object:
        done = real(*args, **kwargs)
        if not inside.is_set():
            inside.set()
            go_on.wait(60)
        return done

    monkeypatch.setattr(statements, name, stop_after)
    other = new_worker()
    steps = {"block": other.claim, "finish": lambda: worker.succeed(holder)}
    order = [steps[first], *(act for step, act in steps.items() if step != first)]
    with on_another_connection() as one, on_another_connection() as two:
        early = one.submit(order[0])
        assert inside.wait(60)
        late = two.submit(order[1])
        with pytest.raises(TimeoutError):
            late.result(timeout=0.2)
        go_on.set()
        early.result(60)
        late.result(60)

    running = TaskRow.objects.filter(state=TaskState.RUNNING).count()
    assert running + ready() == 1
    assert TaskRow.objects.filter(state=TaskState.BLOCKED).count() == 0


class Counted:
    """How many of each key run, and the most there were."""

    def __init__(self) -> None:
        self.running: Counter[str | None] = Counter()
        self.most: Counter[str | None] = Counter()
        self._lock = threading.Lock()

    def add(self, claims: list[Claim], change: int) -> None:
        with self._lock:
            for claim in claims:
                self.running[claim.concurrency_key] += change
            self.most |= self.running


@pytest.mark.timeout(300)
def test_eight_workers_never_exceed_a_limit_and_finish_everything(new_worker):
    limits = {"a": 1, "b": 3}
    for key, limit in limits.items():
        limited = tasks.nothing.using(concurrency=(key, limit))
        limited.enqueue_many([((), {})] * 40)
    tasks.nothing.enqueue_many([((), {})] * 40)
    counted = Counted()
    deadline = time.monotonic() + 240

    def work(_: int) -> int:
        hand, done = new_worker(), 0
        try:
            while TaskRow.objects.exists() and time.monotonic() < deadline:
                claims = hand.claim(limit=4)
                counted.add(claims, 1)
                hand.store.held_by(hand.identity.id.hex)
                counted.add(claims, -1)
                done += len(hand.succeed(claims)) if claims else 0
            return done
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(work, range(8)))

    assert done == 120
    assert all(counted.most[key] <= limit for key, limit in limits.items())


def test_a_crashed_holder_frees_its_slot_without_a_second_one_running(
    worker, new_worker, store: Store
):
    one_each.enqueue_many([(("a",), {})] * 2)
    worker.claim()
    other: ManualWorker = new_worker()
    assert other.claim() == []
    worker.expire()

    rescue_lost(store)
    claims = other.claim()

    assert len(claims) == 1
    taken = TaskRow.objects.filter(slot__isnull=False)
    assert taken.values("concurrency_key").annotate(n=Count("id")).get()["n"] == 1
    assert settings().crashes > claims[0].crashes == 1
    assert claims[0].claimed_at <= timezone.now()


def test_an_empty_key_lets_the_next_one_through_like_any_other(worker):
    tasks.echo.using(concurrency=("{value}", 1)).enqueue_many([(("",), {})] * 3)

    ended = 0
    while claims := worker.claim():
        ended += len(worker.succeed(claims))

    assert ended == 3
