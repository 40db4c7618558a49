"""A worker that is gone gives its tasks back, once."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import transaction
from django.tasks import TaskResultStatus

from errands import task_rescued
from errands.conf import settings
from errands.queue.claiming.selection import Selection
from errands.queue.living import liveness, rescuing
from errands.queue.living.processes import process_boot
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)
LEASE = timedelta(seconds=30)


def test_a_living_worker_keeps_its_tasks(worker, store):
    tasks.nothing.enqueue()
    claims = worker.claim()

    assert rescuing.rescue_lost(store) == []
    assert worker.succeed(claims)


def test_the_tasks_of_an_expired_worker_are_rescued_at_the_price_of_a_crash(
    worker, new_worker, store
):
    result = tasks.nothing.enqueue()
    stale = worker.claim()
    worker.expire()

    rescued = rescuing.rescue_lost(store)

    assert [rescue.claim.id for rescue in rescued] == [stale[0].id]
    (claim,) = new_worker().claim()
    assert (claim.attempt, claim.crashes, claim.token) == (1, 1, 2)
    assert worker.succeed(stale) == set()
    assert "lost" in tasks.nothing.get_result(result.id).errors[0].traceback


def test_an_expired_worker_cannot_revive_itself(worker, store):
    worker.expire()

    assert not liveness.heartbeat(store.alias, worker.identity.id, LEASE)


def test_what_nobody_has_rescued_goes_on_under_the_next_id(worker, new_worker, store):
    tasks.nothing.enqueue()
    claims = worker.claim()
    worker.expire()
    fresh = new_worker()

    handed_over = store.hand_over(worker.identity.id, to=fresh.identity.id)

    assert handed_over == 1
    assert rescuing.rescue_lost(store) == []
    assert worker.succeed(claims) == {claims[0].id}


def test_what_somebody_has_rescued_is_not_handed_over(worker, new_worker, store):
    tasks.nothing.enqueue()
    claims = worker.claim()
    worker.expire()
    rescuing.rescue_lost(store)

    handed_over = store.hand_over(worker.identity.id, to=new_worker().identity.id)

    assert handed_over == 0
    assert worker.succeed(claims) == set()


def test_a_heartbeat_extends_the_lease(worker, store):
    assert liveness.heartbeat(store.alias, worker.identity.id, LEASE)


def test_tasks_of_a_worker_without_a_row_are_rescued(worker, store):
    tasks.nothing.enqueue()
    worker.claim()
    liveness.retire(store.alias, worker.identity.id)

    assert len(rescuing.rescue_lost(store)) == 1


def test_a_process_of_this_host_that_has_ended_is_rescued_at_once(store):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = liveness.WorkerIdentity(
        uuid4(),
        "gone",
        liveness.WorkerIdentity.of_this_process(uuid4()).host,
        child.pid,
        process_boot(child.pid),
    )
    liveness.register(store.alias, identity, LEASE)
    tasks.nothing.enqueue()
    store.claim(identity.id, Selection(), 1)

    while_alive = rescuing.rescue_lost(store)
    child.communicate(b"\n")
    after = rescuing.rescue_lost(store)

    assert while_alive == []
    assert len(after) == 1


@pytest.mark.parametrize(
    ("changed", "is_rescued"),
    [("start", True), ("namespace", False), ("boot", False)],
    ids=["a pid used again", "another container", "another boot"],
)
def test_only_of_this_very_system_a_pid_means_something(store, changed, is_rescued):
    own = liveness.WorkerIdentity.of_this_process(uuid4())
    boot, namespace, start = own.boot.split()
    told = {"boot": boot, "namespace": namespace, "start": start} | {changed: "x"}
    other = replace(own, boot=" ".join(told.values()))
    liveness.register(store.alias, other, LEASE)
    tasks.nothing.enqueue()
    store.claim(other.id, Selection(), 1)

    rescued = rescuing.rescue_lost(store)

    assert bool(rescued) is is_rescued


@pytest.mark.parametrize(
    ("supervisor", "is_rescued"),
    [("lives", False), ("has ended", True), ("is another process", True)],
)
def test_a_dead_child_is_left_to_its_supervisor_while_that_lives(
    store, supervisor: str, is_rescued
):
    keeper = subprocess.Popen(["sleep", "60"])
    ours = liveness.WorkerIdentity.of_this_process(uuid4(), supervisor=keeper.pid)
    dead = replace(ours, boot=f"{ours.boot.rpartition(' ')[0]} 1")
    if supervisor == "has ended":
        keeper.kill()
        keeper.wait()
    elif supervisor == "is another process":
        dead = replace(dead, supervisor=f"{dead.supervisor.rpartition(' ')[0]} 1")
    liveness.register(store.alias, dead, LEASE)
    tasks.nothing.enqueue()
    store.claim(dead.id, Selection(), 1)

    rescued = rescuing.rescue_lost(store)

    keeper.kill()
    keeper.wait()
    assert bool(rescued) is is_rescued


def test_of_a_dead_child_whose_supervisor_does_nothing_the_lease_expires(store):
    ours = liveness.WorkerIdentity.of_this_process(uuid4(), supervisor=os.getpid())
    liveness.register(store.alias, ours, timedelta(seconds=-1))
    tasks.nothing.enqueue()
    store.claim(ours.id, Selection(), 1)

    assert len(rescuing.rescue_lost(store)) == 1


def test_a_process_of_another_host_is_left_alone_until_it_expires(store):
    identity = liveness.WorkerIdentity(uuid4(), "far", "elsewhere", 1, "b pid:[1] 5")
    liveness.register(store.alias, identity, LEASE)
    tasks.nothing.enqueue()
    store.claim(identity.id, Selection(), 1)

    assert rescuing.rescue_lost(store) == []


def test_only_what_a_dead_child_had_started_costs_a_crash(worker, new_worker, store):
    tasks.nothing.enqueue_many([((), {})] * 3)
    claims = worker.claim()

    rescuing.rescue_worker(
        store, worker.identity.id, started={claims[1].id}, cause="killed by signal 9"
    )

    heir = new_worker()
    again = {claim.id: claim for claim in heir.claim() + heir.claim_suspect()}
    assert [again[claim.id].crashes for claim in claims] == [0, 1, 0]
    assert all(claim.attempt == 1 for claim in again.values())


def test_what_a_dead_child_is_charged_for_names_it(worker, store):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(crashes=settings().crashes - 1)
    (claim,) = worker.claim()

    rescuing.rescue_worker(
        store, worker.identity.id, started={claim.id}, cause="signal 9"
    )

    read = tasks.nothing.get_result(result.id)
    assert read.worker_ids == [worker.identity.name]
    assert f"Worker {worker.identity.name}: signal 9." in read.errors[-1].traceback


@pytest.mark.parametrize("has_row", [True, False])
def test_a_lost_worker_is_named_as_long_as_its_row_says_how(worker, store, has_row):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(crashes=settings().crashes - 1)
    worker.claim()
    worker.expire()
    if not has_row:
        liveness.retire(store.alias, worker.identity.id)

    rescuing.rescue_lost(store)

    read = tasks.nothing.get_result(result.id)
    name = worker.identity.name if has_row else worker.identity.id.hex
    assert read.worker_ids == [name]
    assert f"Worker {name} was lost." in read.errors[-1].traceback


def test_a_poison_pill_ends_as_crashed_and_is_announced_once(new_worker, store, finished):
    result = tasks.nothing.enqueue()
    rescues = []
    task_rescued.connect(lambda **sent: rescues.append(sent), weak=False)

    for _ in range(settings().crashes):
        worker = new_worker()
        (claim,) = worker.claim() or worker.claim_suspect()
        rescuing.rescue_worker(
            store, worker.identity.id, started={claim.id}, cause="killed by signal 11"
        )

    read = tasks.nothing.get_result(result.id)
    assert read.status == TaskResultStatus.FAILED
    assert "killed by signal 11" in read.errors[-1].traceback
    assert ResultRow.objects.get().status == ResultStatus.CRASHED
    assert finished == [result.id]
    assert len(rescues) == settings().crashes


def test_a_rescue_leaves_alone_what_was_settled_meanwhile(worker, store, monkeypatch):
    tasks.echo.enqueue(1)
    claims = worker.claim()
    worker.expire()
    read = store.held_by

    def settle_after_reading(holder: str, limit: int = 1000):
        held = read(holder, limit)
        worker.succeed(claims, "done")
        return held

    monkeypatch.setattr(store, "held_by", settle_after_reading)

    assert rescuing.rescue_lost(store) == []
    assert ResultRow.objects.get().status == ResultStatus.SUCCEEDED
    assert TaskRow.objects.count() == 0


def test_the_same_rescue_twice_counts_one_crash(worker, store):
    tasks.nothing.enqueue()
    worker.claim()
    worker.expire()

    rescuing.rescue_lost(store)
    rescuing.rescue_lost(store)

    row = TaskRow.objects.get()
    assert (row.crashes, row.state) == (1, TaskState.READY)


def test_a_heartbeat_waits_for_no_transaction_of_a_task(worker, store):
    with transaction.atomic():
        tasks.nothing.enqueue()

        assert liveness.heartbeat(store.alias, worker.identity.id, LEASE)


def test_a_later_process_of_the_same_pid_is_not_taken_for_the_worker(store):
    ours = liveness.WorkerIdentity.of_this_process(uuid4())
    earlier = replace(ours, boot=f"{ours.boot.rpartition(' ')[0]} 1")
    liveness.register(store.alias, earlier, LEASE)
    tasks.nothing.enqueue()
    store.claim(earlier.id, Selection(), 1)

    assert len(rescuing.rescue_lost(store)) == 1


@pytest.mark.parametrize("column", ["errors", "worker_ids"])
@pytest.mark.parametrize("spoiled", ["[{}]", "[1, null]", '[["x"]]', "{}", "nothing"])
def test_a_row_that_somebody_has_spoiled_is_rescued_and_settled_like_any(
    worker, new_worker, store, column, spoiled
):
    results = tasks.nothing.enqueue_many([((), {})] * 2)
    TaskRow.objects.filter(uuid=results[0].id).update(**{column: spoiled})
    worker.claim()
    worker.expire()

    rescued = rescuing.rescue_lost(store)
    successor = new_worker()
    settled = successor.succeed(successor.claim() + successor.claim_suspect())

    assert len(rescued) == 2
    assert len(settled) == 2
    assert not TaskRow.objects.exists()


def test_a_worker_whose_tasks_cannot_be_rescued_holds_up_no_other(
    worker, new_worker, store, monkeypatch, caplog
):
    other, result = new_worker(), tasks.nothing.enqueue()
    worker.claim()
    tasks.nothing.enqueue()
    other.claim()
    worker.expire()
    other.expire()
    write = store.write

    def stumble(records):
        if records[0].id == TaskRow.objects.get(uuid=result.id).id:
            raise RuntimeError("a stone")
        return write(records)

    monkeypatch.setattr(store, "write", stumble)

    rescued = rescuing.rescue_lost(store)

    assert len(rescued) == 1
    assert "a stone" in caplog.text


def test_a_receiver_that_wants_to_end_the_worker_ends_no_rescue(worker, store, finished):
    def leave(**told):
        raise SystemExit(1)

    tasks.nothing.enqueue()
    claims = worker.claim()
    TaskRow.objects.update(crashes=settings().crashes - 1)
    claims = worker.store.held_by(worker.identity.id.hex)
    task_rescued.connect(leave)
    try:
        rescued = worker.die(*claims)
    finally:
        task_rescued.disconnect(leave)

    assert [rescue.has_ended for rescue in rescued] == [True]
    assert finished == [str(claims[0].uuid)]


def test_of_two_rescues_of_one_task_one_tells_of_its_end(
    worker, store, monkeypatch, finished
):
    tasks.nothing.enqueue()
    worker.claim()
    TaskRow.objects.update(crashes=settings().crashes - 1)
    worker.expire()
    held_by, raced = store.held_by, []

    def be_overtaken(holder, *limit):
        held = held_by(holder, *limit)
        if not raced:
            raced.append(held)
            rescuing.rescue_lost(store)
        return held

    monkeypatch.setattr(store, "held_by", be_overtaken)

    late = rescuing.rescue_lost(store)

    assert late == []
    assert len(finished) == 1
