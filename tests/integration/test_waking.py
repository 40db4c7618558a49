"""That a real worker is told what there is to do, also after it was cut off.

Most workers here look once an hour: what they notice at all, they were told.
"""

from datetime import timedelta
from threading import Thread

import pytest
from django.db import connection, connections
from django.tasks import Task
from django.utils import timezone

from errands.queue.models import QueueRow, ResultRow, TaskRow
from tests.integration.conftest import StartWorker
from tests.integration.processes import RARE_POLLS, eventually
from tests.testapp import tasks

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]

LISTENER = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND query = 'LISTEN errands'"
)


def run(task: Task) -> ResultRow:
    """Enqueue a task and return what became of it."""
    result = task.enqueue()
    eventually(lambda: ResultRow.objects.filter(uuid=result.id).exists(), "it ran")
    return ResultRow.objects.get(uuid=result.id)


def listener_cut_off() -> int:
    """Cut the waker's connection; where there is none, nothing is to be cut."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        eventually(lambda: cursor.execute(LISTENER).fetchall(), "it listens")
    return 1


def test_an_idle_worker_is_told_of_each_task(start_worker: StartWorker):
    start_worker(**RARE_POLLS).is_ready()

    for _ in range(10):
        run(tasks.nothing)

    assert ResultRow.objects.count() == 10


def test_a_thread_goes_from_task_to_task_and_does_not_wait_for_polls(
    start_worker: StartWorker,
):
    tasks.nap.enqueue_many([((), {})] * 20)

    start_worker("--threads", "1", **RARE_POLLS)

    eventually(lambda: ResultRow.objects.count() == 20, "all of them ran")


def test_a_worker_whose_waker_was_cut_off_finds_every_task_and_is_woken_again(
    start_worker: StartWorker,
):
    worker = start_worker(**RARE_POLLS).is_ready()
    run(tasks.nothing)

    cut_off = listener_cut_off()
    run(tasks.nothing)
    is_back = "waker: the database is back"
    eventually(lambda: worker.errors.count(is_back) == cut_off, "it listens again")
    for _ in range(10):
        run(tasks.nothing)

    assert worker.errors.count("waker: waiting for the database") == cut_off


def test_fifty_writers_at_once_are_all_served(start_worker: StartWorker):
    start_worker(**RARE_POLLS).is_ready()

    def write() -> None:
        for _ in range(5):
            tasks.nothing.enqueue()
        connections.close_all()

    writers = [Thread(target=write) for _ in range(50)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    eventually(lambda: ResultRow.objects.count() == 250, "all have run")

    assert not TaskRow.objects.exists()


def test_a_task_that_is_due_soon_is_not_slept_past(start_worker: StartWorker):
    start_worker(**RARE_POLLS).is_ready()
    run(tasks.nothing)

    row = run(tasks.nothing.using(run_after=timedelta(seconds=0.5)))

    assert row.run_at is not None
    assert row.started_at >= row.run_at


def test_a_retry_that_is_due_at_once_is_not_slept_past(start_worker: StartWorker):
    start_worker(**RARE_POLLS).is_ready()
    run(tasks.nothing)

    row = run(tasks.fail)

    assert row.attempt == 3


def test_retries_are_found_where_claims_begin_behind_what_was_taken(
    start_worker: StartWorker,
):
    imports = f"{RARE_POLLS['MORE_IMPORTS']} tests.integration.slow_claims"
    start_worker(**RARE_POLLS | {"MORE_IMPORTS": imports}).is_ready()

    rows = [run(tasks.fail) for _ in range(5)]

    assert {row.attempt for row in rows} == {3}


def test_pools_run_side_by_side_and_a_paused_queue_rests(start_worker: StartWorker):
    QueueRow.objects.create(name="paused", paused_at=timezone.now())
    for queue in ("mail", "default", "paused"):
        tasks.nothing.using(queue_name=queue).enqueue_many([((), {})] * 20)

    worker = start_worker("--queues", "mail:2,*", "--threads", "2", "--burst")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "40 succeeded, 0 failed"
    assert not ResultRow.objects.filter(queue="paused").exists()
