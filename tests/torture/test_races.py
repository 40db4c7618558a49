"""Several workers at the same row at the same moment."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from django.db import connections

from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.tasks.outcomes import Interrupted, Succeeded
from tests.torture import tasks
from tests.torture.world import Worker

pytestmark = pytest.mark.django_db(transaction=True)

CLAIMERS, TASKS, LIMIT = 4, 120, 3
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def drained(store: Store, *, most: int) -> list[list[int]]:
    """Let claimers empty the queue side by side; return what each one got."""
    barrier = Barrier(CLAIMERS)

    def claim_all(worker: Worker) -> list[int]:
        got: list[int] = []
        barrier.wait()
        try:
            while claims := worker.claim("*", most):
                assert len(claims) <= most
                for claim in claims:
                    assert worker.settle(claim, Succeeded(None))
                got += [claim.id for claim in claims]
        finally:
            connections.close_all()
        return got

    workers = [Worker(store, 0) for _ in range(CLAIMERS)]
    with ThreadPoolExecutor(CLAIMERS) as pool:
        return list(pool.map(claim_all, workers))


def test_claimers_side_by_side_never_get_the_same_task() -> None:
    tasks.plain.enqueue_many([((), {})] * TASKS)

    claimed = Counter(row for got in drained(Store("default"), most=LIMIT) for row in got)

    assert sum(claimed.values()) == TASKS
    assert set(claimed.values()) == {1}


def test_claimers_side_by_side_never_pass_the_limit_of_a_key() -> None:
    tasks.keyed.enqueue_many([(("a",), {})] * (TASKS // 4))
    store = Store("default")
    barrier, workers = Barrier(CLAIMERS), [Worker(store, 0) for _ in range(CLAIMERS)]

    def claim(worker: Worker) -> int:
        barrier.wait()
        try:
            return len(worker.claim("*", LIMIT))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLAIMERS) as pool:
        claimed = sum(pool.map(claim, workers))

    limit = tasks.keyed.options.concurrency[1]
    assert claimed == TaskRow.objects.filter(state=TaskState.RUNNING).count() == limit


def test_what_must_not_start_twice_is_given_to_no_second_worker() -> None:
    tasks.once.enqueue()
    store = Store("default")
    first, second = Worker(store, 0), Worker(store, 0)
    (claim,) = first.claim("*", 1)

    assert store.begin(claim)
    first.settle(claim, Interrupted())

    assert second.claim("*", 1) == []


def test_a_worker_that_lost_its_lease_drops_nothing_that_another_one_runs() -> None:
    tasks.unkept.enqueue()
    store = Store("default")
    zombie, heir = Worker(store, 0), Worker(store, 0)
    (stale,) = zombie.claim("*", 1)
    store.release([stale])
    (claim,) = heir.claim("*", 1)

    assert not zombie.settle(stale, Succeeded(None))
    assert TaskRow.objects.get().state == TaskState.RUNNING
    assert heir.settle(claim, Succeeded(None))
    assert not TaskRow.objects.exists()


def test_only_results_that_are_old_enough_are_pruned() -> None:
    store, worker = Store("default"), Worker(Store("default"), 0)
    tasks.plain.enqueue_many([((), {})] * 3)
    old, *young = worker.claim("*", 3)
    for claim in (old, *young):
        worker.settle(claim, Succeeded(None))
    ResultRow.objects.filter(id=old.id).update(finished_at=LONG_AGO)

    assert store.prune() == 1
    assert {row.id for row in ResultRow.objects.all()} == {claim.id for claim in young}
