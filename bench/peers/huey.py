"""Huey, with its SQLite storage."""

import os
import sys
from typing import Any, ClassVar

from huey import SqliteHuey  # type: ignore[import-untyped]
from huey.consumer import Consumer  # type: ignore[import-untyped]

from bench.peers.peer import THREADS, Peer, python
from bench.ticks import tick

POLL_SECONDS = 0.05

storage: Any = SqliteHuey("bench", filename=os.environ.get("ERRANDS_BENCH_URL", ""))


@storage.task()  # type: ignore[untyped-decorator]
def nothing() -> None:
    """Do nothing, and be counted."""
    tick()


class Huey(Peer):
    """Its consumer with one thread per process."""

    name = "huey"
    engines = ("sqlite",)
    fair: ClassVar = (
        "`SqliteHuey` as by default, a consumer of one thread per process that polls "
        f"each {POLL_SECONDS} s (its default backs off to 10 s); a task leaves the "
        "queue before it runs, so a kill loses it; no bulk enqueue"
    )
    is_bulk = False
    is_threaded = True
    drained = 10_000

    def prepare(self) -> None:
        """Nothing: the storage made its tables when it was imported."""

    def enqueue_each(self, number: int) -> None:
        """Call the task."""
        for _ in range(number):
            nothing()

    def unfinished(self) -> int:
        """Count what waits: Huey knows nothing of what runs."""
        return int(storage.pending_count())

    def clear(self) -> None:
        """Forget all."""
        storage.flush()

    def workers(self, processes: int) -> list[list[str]]:
        """One process per command."""
        return [python("-m", "bench.peers.huey", "1")] * processes

    def threaded_workers(self) -> list[list[str]]:
        """The same, with more threads."""
        return [python("-m", "bench.peers.huey", str(THREADS))]


if __name__ == "__main__":
    from bench.peers.huey import storage as imported

    sys.exit(
        Consumer(
            imported,
            workers=int(sys.argv[1]),
            periodic=False,
            initial_delay=POLL_SECONDS,
            max_delay=POLL_SECONDS,
        ).run()
    )
