"""PgQueuer: asyncpg, LISTEN/NOTIFY, buffered batches."""

import asyncio
import sys
from typing import ClassVar

import asyncpg  # type: ignore[import-untyped]
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.peer import Peer, Place, python
from bench.ticks import tick

BATCH = 2000


class PgQueuerPeer(Peer):
    """Its own producer and its own worker, both on asyncpg and uvloop."""

    name = f"pgqueuer, batch {BATCH}"
    engines = ("postgresql",)
    drained = 60_000
    is_quick = True
    fair: ClassVar = (
        "asyncpg and uvloop as in its own benchmark; async task; batch_size "
        f"{BATCH} (of 10, 100, 500, 1,000 and 2,000; its default is 10); "
        "durability as by default (all tables logged, synchronous commit)"
    )

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def prepare(self) -> None:
        """Connect, and install its tables."""
        self._runner.run(self._prepare())

    async def _prepare(self) -> None:
        self._connection = await asyncpg.connect(self.place.url)
        self._queries = Queries(AsyncpgDriver(self._connection))
        await self._queries.install()

    def enqueue_each(self, number: int) -> None:
        """One call of ``enqueue`` after the other."""
        self._runner.run(self._enqueue_each(number))

    async def _enqueue_each(self, number: int) -> None:
        for _ in range(number):
            await self._queries.enqueue("nothing", None)

    def enqueue_many(self, number: int) -> None:
        """One call of ``enqueue`` with lists."""
        names, payloads = ["nothing"] * number, list[bytes | None]([None]) * number
        self._runner.run(self._queries.enqueue(names, payloads, [0] * number))

    def unfinished(self) -> int:
        """Count its queue's table, which ended jobs leave."""
        count = self._connection.fetchval("SELECT count(*) FROM pgqueuer")
        return int(self._runner.run(count))

    def clear(self) -> None:
        """Truncate queue and log."""
        truncate = "TRUNCATE pgqueuer, pgqueuer_log, pgqueuer_statistics"
        self._runner.run(self._connection.execute(truncate))

    def workers(self, processes: int) -> list[list[str]]:
        """One process per command."""
        return [python("-m", "bench.peers.pgqueuer", self.place.url)] * processes


async def work(url: str, batch: int = BATCH) -> None:
    """Run its worker until killed."""
    queuer = PgQueuer.from_asyncpg_connection(await asyncpg.connect(url))

    @queuer.entrypoint("nothing")
    async def nothing(_: Job) -> None:
        tick()

    await queuer.run(batch_size=batch)


if __name__ == "__main__":
    uvloop.run(work(sys.argv[1], *map(int, sys.argv[2:])))
