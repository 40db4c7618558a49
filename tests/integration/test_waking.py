"""How soon a real worker notices, also after it was cut off."""

import time
from datetime import timedelta
from statistics import median
from threading import Thread

import pytest
from django.db import connection, connections
from django.utils import timezone

from errands.queue.models import QueueRow, ResultRow
from tests.integration.conftest import StartWorker
from tests.integration.processes import eventually
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

# Far above what it takes (2 ms), far below any poll without a waker (250 ms).
PROMPT = timedelta(seconds=0.12)
LISTENERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND query = 'LISTEN errands'"
)


def delay() -> timedelta:
    """Enqueue a task and return how long it waited for its start."""
    result = tasks.nothing.enqueue()
    enqueued_at = timezone.now()
    eventually(lambda: ResultRow.objects.filter(uuid=result.id).exists(), "it ran")
    return ResultRow.objects.get(uuid=result.id).started_at - enqueued_at


def is_prompt() -> bool:
    return delay() < PROMPT


def listeners_cut_off() -> int:
    """Cut the wakers' connections; where there are none, nothing is to be cut."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(LISTENERS)
        return len(cursor.fetchall())


def test_an_idle_worker_notices_at_once(start_worker: StartWorker):
    start_worker().is_ready()
    eventually(is_prompt, "the waker is at work")

    delays = [delay() for _ in range(9)]

    assert median(delays) < PROMPT


def test_a_thread_goes_from_task_to_task_and_does_not_wait_for_polls(
    start_worker: StartWorker,
):
    tasks.nap.enqueue_many([((), {})] * 20)

    start_worker("--threads", "1")

    # Polls come each 6 s.
    eventually(lambda: ResultRow.objects.count() == 20, "all of them ran")


def test_a_worker_whose_waker_was_cut_off_finds_every_task_and_is_woken_again(
    start_worker: StartWorker,
):
    worker = start_worker().is_ready()
    eventually(is_prompt, "the waker is at work")

    cut_off = listeners_cut_off()
    delays = [delay() for _ in range(3)]
    eventually(is_prompt, "the waker is at work again")

    assert max(delays) < timedelta(seconds=2)
    assert worker.errors.count("waker: waiting for the database") == cut_off


def test_fifty_writers_at_once_are_all_served(start_worker: StartWorker):
    start_worker().is_ready()

    def write() -> None:
        for _ in range(5):
            tasks.nothing.enqueue()
        connections.close_all()

    writers = [Thread(target=write) for _ in range(50)]
    began = time.monotonic()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    eventually(lambda: ResultRow.objects.count() == 250, "all have run")

    assert time.monotonic() - began < 15


def test_a_task_that_is_due_soon_is_not_slept_past(start_worker: StartWorker):
    start_worker().is_ready()
    eventually(is_prompt, "the waker is at work")

    soon = tasks.nothing.using(run_after=timedelta(seconds=0.5)).enqueue()
    eventually(lambda: ResultRow.objects.filter(uuid=soon.id).exists(), "it ran")

    row = ResultRow.objects.get(uuid=soon.id)
    assert row.run_at is not None
    assert timedelta() <= row.started_at - row.run_at < timedelta(seconds=0.5)


def test_pools_run_side_by_side_and_a_paused_queue_rests(start_worker: StartWorker):
    QueueRow.objects.create(name="paused", paused_at=timezone.now())
    for queue in ("mail", "default", "paused"):
        tasks.nothing.using(queue_name=queue).enqueue_many([((), {})] * 20)

    worker = start_worker("--queues", "mail:2,*", "--threads", "2", "--burst")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "40 succeeded, 0 failed"
    assert not ResultRow.objects.filter(queue="paused").exists()
