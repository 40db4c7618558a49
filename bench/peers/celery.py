"""Celery on Redis."""

import os
from typing import ClassVar

import redis
from celery import Celery  # type: ignore[import-untyped]

from bench.peers.peer import THREADS, Peer, Place, python
from bench.ticks import tick

QUEUE, UNACKNOWLEDGED = "celery", "unacked"

app = Celery("bench", broker=os.environ.get("ERRANDS_BENCH_URL"))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=128)


@app.task  # type: ignore[untyped-decorator]
def nothing() -> None:
    """Do nothing, and be counted."""
    tick()


class CeleryPeer(Peer):
    """Its worker with a pool of one thread."""

    name = "celery"
    engines = ("redis",)
    fair: ClassVar = (
        "Redis broker on this machine, without persistence; `worker --pool threads "
        "--concurrency 1` (of prefork, threads and solo, one run each: all within "
        "10 %), one command per process, without gossip, mingle and heartbeat; "
        "`worker_prefetch_multiplier=128`, as its guide advises for short tasks; "
        "results ignored; acknowledged early, so a kill loses tasks; no bulk enqueue"
    )
    is_bulk = False
    is_threaded = True
    drained = 2_000

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._redis = redis.Redis.from_url(place.url)

    def prepare(self) -> None:
        """Refuse a database of Redis that somebody uses."""
        if self._redis.dbsize():
            raise RuntimeError(f"{self.place.url} is not empty")

    def enqueue_each(self, number: int) -> None:
        """Call ``delay``."""
        for _ in range(number):
            nothing.delay()

    def unfinished(self) -> int:
        """Count messages that wait or have not been acknowledged."""
        return int(self._redis.llen(QUEUE)) + int(self._redis.hlen(UNACKNOWLEDGED))

    def clear(self) -> None:
        """Forget all."""
        self._redis.flushdb()

    def workers(self, processes: int) -> list[list[str]]:
        """One command per process."""
        return self._workers(processes, threads=1)

    def threaded_workers(self) -> list[list[str]]:
        """The same, with more threads."""
        return self._workers(1, threads=THREADS)

    def _workers(self, processes: int, *, threads: int) -> list[list[str]]:
        options = ("--pool", "threads", "--concurrency", str(threads))
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        command = ("-m", "celery", "-A", "bench.peers.celery", "worker")
        return [
            python(*command, *options, *quiet, "-n", f"{number}@bench", "-l", "WARNING")
            for number in range(processes)
        ]
