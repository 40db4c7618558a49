"""Procrastinate: PostgreSQL functions, triggers and LISTEN/NOTIFY."""

import asyncio
import sys
from typing import ClassVar

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from bench.peers.peer import Peer, Place, python
from bench.ticks import tick

CONCURRENCY = 20

COUNT = (
    "SELECT count(*) AS open FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
)


def nothing() -> None:
    """Do nothing, and be counted."""
    tick()


async def anothing() -> None:
    """Do nothing in the worker's event loop, and be counted."""
    tick()


class Procrastinate(Peer):
    """Its synchronous producer, and its asynchronous worker."""

    name = "procrastinate"
    engines = ("postgresql",)
    fair: ClassVar = (
        f"async task, `concurrency={CONCURRENCY}` (of 1, 20 and 50, one run each), one "
        "worker per process, LISTEN/NOTIFY; jobs kept, with their events; `batch_defer`"
    )
    drained = 1_500

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._app = App(connector=SyncPsycopgConnector(conninfo=place.url))
        self._nothing = self._app.task(name="nothing")(nothing)

    def prepare(self) -> None:
        """Connect, and apply its schema."""
        self._app.open()
        self._app.schema_manager.apply_schema()

    def enqueue_each(self, number: int) -> None:
        """Call ``defer``."""
        for _ in range(number):
            self._nothing.defer()

    def enqueue_many(self, number: int) -> None:
        """Call ``batch_defer`` once."""
        self._nothing.batch_defer(*({} for _ in range(number)))

    def unfinished(self) -> int:
        """Count by SQL."""
        return int(
            self._app.connector.get_sync_connector().execute_query_one(COUNT)["open"]
        )

    def clear(self) -> None:
        """Truncate."""
        truncate = "TRUNCATE procrastinate_jobs CASCADE"
        self._app.connector.get_sync_connector().execute_query(truncate)

    def workers(self, processes: int) -> list[list[str]]:
        """One process per command."""
        return [python("-m", "bench.peers.procrastinate", self.place.url)] * processes


async def work(url: str) -> None:
    """Run its worker until killed."""
    app = App(connector=PsycopgConnector(conninfo=url))
    app.task(name="nothing")(anothing)
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
