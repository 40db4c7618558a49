"""What only our own queue is asked: recovery, and claims in a swollen table."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

from bench.peers.peer import Peer
from bench.processes import Fleet

STRANDED = 5
STARTING_SECONDS = 60
CLAIMS = 300
CLAIM_PAUSE = 0.008
LOAD_BATCH, LOAD_PAUSE = 50, 0.1

COLUMNS = (
    "SELECT string_agg(column_name, ', ') FROM information_schema.columns "
    "WHERE table_name = 'errands_task' AND column_name NOT IN ('id', 'uuid')"
)


class Claims(NamedTuple):
    """The 95th percentile of a claim, in milliseconds."""

    empty: float
    swollen: float
    results: int
    """How many tasks ended while the idle transaction was open."""


def recovery(peer: Peer, *, repeats: int, log: Path) -> float:
    """Return seconds from the death of a worker to the new start of its tasks.

    All of the worker's tree gets SIGKILL and a new one is started at once: its
    boot counts. Measured to the last of the stranded tasks; the median.
    """
    from bench.errands_tasks import STALL, stall

    seconds = []
    for _ in range(repeats):
        for _ in range(STRANDED):
            stall.enqueue()
        os.environ[STALL] = "600"
        with Fleet(peer.workers(1), log) as fleet:
            fleet.wait_for_ticks(STRANDED, seconds=STARTING_SECONDS)
            os.environ[STALL] = "0"
            killed = time.monotonic_ns()
            fleet.kill()
            with Fleet(peer.workers(1), log) as successor:
                seen = successor.wait_for_ticks(STRANDED, seconds=STARTING_SECONDS)
        seconds.append((seen.last - killed) / 1e9)
        peer.clear()
    return median(seconds)


def claims(peer: Peer, *, deferred: int, seconds: float, log: Path) -> Claims:
    """Claim from an empty queue, and again after a hard time.

    There are a million deferred tasks, and a transaction that has been idle
    for ``seconds`` while a worker ran some 500 tasks per second, so that
    nothing it left behind can be vacuumed.
    """
    empty = _p95_of_claims()
    _defer(deferred)
    with _idle_transaction(peer.place.url):
        finished = _work(peer, seconds=seconds, log=log)
        swollen = _p95_of_claims()
    peer.clear()
    return Claims(empty, swollen, finished)


def _p95_of_claims() -> float:
    """Claim as a worker's process does, one task every 10 ms or so."""
    from django.utils import timezone

    from bench.errands_tasks import nothing
    from errands.queue.claiming.picking import QueuePicker
    from errands.queue.claiming.selection import Selection
    from errands.queue.claims import Settlement
    from errands.queue.store import Store
    from errands.tasks.outcomes import Succeeded

    store, worker = Store("default"), uuid4()
    picker = QueuePicker(store, Selection())
    durations = []
    for _ in range(CLAIMS):
        nothing.enqueue()
        started = time.perf_counter()
        claimed = picker.claim(worker, 10)
        durations.append((time.perf_counter() - started) * 1000)
        now = timezone.now()
        store.settle([Settlement(one, Succeeded(None), now, now, "b") for one in claimed])
        time.sleep(CLAIM_PAUSE)
    return quantiles(durations, n=20)[-1]


def _defer(number: int) -> None:
    """Enqueue one task for next week, and copy its row."""
    from django.db import connection

    from bench.errands_tasks import nothing

    nothing.using(run_after=timedelta(weeks=1)).enqueue()
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        columns = cursor.fetchone()[0]
        cursor.execute(
            f"INSERT INTO errands_task (uuid, {columns}) "  # noqa: S608
            f"SELECT gen_random_uuid(), {columns} "
            "FROM errands_task, generate_series(2, %s)",
            [number],
        )
        cursor.execute("ANALYZE errands_task")


@contextmanager
def _idle_transaction(url: str) -> Iterator[None]:
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield


def _work(peer: Peer, *, seconds: float, log: Path) -> int:
    enqueued = 0
    with Fleet(peer.workers(1), log) as fleet:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            peer.enqueue_many(LOAD_BATCH)
            enqueued += LOAD_BATCH
            time.sleep(LOAD_PAUSE)
        fleet.wait_for_ticks(enqueued, seconds=STARTING_SECONDS)
    return enqueued


def pages(peer: Peer) -> dict[str, float]:
    """Return the 95th percentile of each page, in milliseconds."""
    from bench.pages import p95_milliseconds

    measured: dict[str, Any] = p95_milliseconds()
    peer.clear()
    return measured
