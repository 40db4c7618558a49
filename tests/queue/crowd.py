"""Many workers and many who enqueue, all at once, as threads of one process."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from django.db import connections
from django.utils import timezone

from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim, Settlement
from errands.queue.store import Store
from errands.tasks.outcomes import AttemptError, Outcome, Retry, Succeeded
from tests.testapp import tasks

AT_ONCE = 20
AGAIN = Retry(timedelta(0), AttemptError.of(ValueError("no luck")))

KINDS = [
    tasks.echo,
    tasks.echo.using(unique=("value",)),
    tasks.echo.using(concurrency=("account", 3)),
    tasks.echo.using(priority=5, queue_name="mail"),
]


class Crowd:
    """Enqueues ``total`` calls, and claims and settles until none is left.

    Every seventh attempt asks for another one.
    """

    def __init__(self, total: int, *, at_once: int = AT_ONCE) -> None:
        self.share = total // at_once
        self.at_once = at_once
        self.ended: list[int] = []
        self._enqueuers_done = threading.Event()

    def run(self) -> None:
        """Return when every task has ended; raise what any thread has met."""
        with ThreadPoolExecutor(2 * self.at_once) as pool:
            enqueuers = [self._start(pool, self._enqueue, n) for n in range(self.at_once)]
            workers = [self._start(pool, self._work, n) for n in range(self.at_once)]
            try:
                for enqueuer in enqueuers:
                    enqueuer.result()
            finally:
                self._enqueuers_done.set()
            for worker in workers:
                worker.result()

    def _start(
        self, pool: ThreadPoolExecutor, act: Callable[[int], None], number: int
    ) -> Future[None]:
        def closing() -> None:
            try:
                act(number)
            finally:
                connections.close_all()

        return pool.submit(closing)

    def _enqueue(self, number: int) -> None:
        for start in range(0, self.share, 10):
            values = [number * self.share + start + n for n in range(10)]
            task = KINDS[(start // 10 + number) % len(KINDS)]
            if start % 20:
                task.enqueue_many([((value,), {}) for value in values])
                continue
            for value in values:
                task.enqueue(value)

    def _work(self, number: int) -> None:
        store, worker, selection = Store("default"), uuid4(), Selection()
        while True:
            was_done = self._enqueuers_done.is_set()
            claims = store.claim(worker, selection, 1 + number)
            if claims:
                self._settle(store, claims)
            elif not store.stage():
                if was_done and store.is_drained(selection):
                    return
                time.sleep(0.01)

    def _settle(self, store: Store, claims: list[Claim]) -> None:
        now = timezone.now()
        outcomes: dict[int, Outcome] = {
            claim.id: AGAIN if claim.attempt == 1 and claim.id % 7 == 0 else Succeeded(1)
            for claim in claims
        }
        done = store.settle(
            [Settlement(claim, outcomes[claim.id], now, now, "w") for claim in claims]
        )
        self.ended += [row for row in done if outcomes[row] is not AGAIN]
