"""``work_off``: what is ready, here and now, without starting a process.

Like the method of that name in delayed_job. While it works the calling process
is a worker like any other: it has a row and a heartbeat, so nobody takes its
task away, and if it is killed in the middle the task is rescued, by a worker
or by the next call.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from django.db import Error, connections, transaction

from errands.exceptions import ErrandsError
from errands.queue.living.liveness import WorkerIdentity
from errands.queue.living.rescuing import rescue_lost
from errands.queue.store import Store
from errands.tasks.outcomes import (
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Succeeded,
)
from errands.tasks.registry import registry
from errands.tasks.sweeps import run_sweeps
from errands.worker.connections import callers_transactions, is_by_hand
from errands.worker.heartbeat import Heartbeat
from errands.worker.misconfigured import refuse_what_is_misconfigured
from errands.worker.options import WorkerOptions, is_of
from errands.worker.solo import Solo, solo_workplace

FAILURES = (Retry, Failed)


def work_off(
    limit: int = 100,
    *,
    backend: str = "default",
    queues: str = "*",
    min_priority: int | None = None,
    max_priority: int | None = None,
) -> tuple[int, int]:
    """Run what is ready in the calling thread; return (succeeded, failed).

    One attempt after another, ``limit`` at most, and what they make ready too.
    An attempt that raised counts as failed, also where another one follows
    later. One that was cancelled, was discarded or may not start yet counts as
    neither; nor does one that gives itself back (``TaskInterrupted``), which ends
    the call, for it would be the next to run.

    The workers' upkeep is done once before: what dead workers held is rescued,
    and what is due is ready. ``ErrandsError`` for errors that the backend's system
    checks find, and inside a transaction, where nothing could be recorded for good.
    """
    _refuse_limit(limit)
    options = WorkerOptions(
        backend=backend,
        queues=queues,
        min_priority=min_priority,
        max_priority=max_priority,
        threads=1,
        coroutines=1,
    )
    store = Store(backend)
    refuse_what_is_misconfigured(store)
    _refuse_inside_a_transaction(store.alias)
    registry.load()
    with callers_transactions(), _working(store, options) as (solo, heartbeat):
        rescue_lost(store)
        run_sweeps()
        return _tally(_outcomes(solo, heartbeat, limit))


def _outcomes(solo: Solo, heartbeat: Heartbeat, limit: int) -> Iterator[Outcome | None]:
    for _ in range(limit):
        claim = solo.claim(heartbeat.identity.id) if heartbeat.may_claim else None
        if claim is None:
            return
        outcome = solo.attempt(claim)
        yield outcome
        if isinstance(outcome, Interrupted):
            return


def _tally(outcomes: Iterator[Outcome | None]) -> tuple[int, int]:
    succeeded = failed = 0
    for outcome in outcomes:
        succeeded += isinstance(outcome, Succeeded)
        failed += isinstance(outcome, FAILURES)
    return succeeded, failed


@contextmanager
def _working(store: Store, options: WorkerOptions) -> Iterator[tuple[Solo, Heartbeat]]:
    """Be a worker: registered before the first claim, gone after the last."""
    identity = WorkerIdentity.of_this_process(uuid4())
    with solo_workplace(store, options, name=identity.name) as workplace:
        heartbeat, solo = Heartbeat(workplace, identity), Solo(workplace)
        heartbeat.beat()
        heartbeat.start()
        try:
            yield solo, heartbeat
        finally:
            # If the database is away, the lease has to expire.
            with suppress(Error):
                solo.give_back(heartbeat.identity.id)
            with suppress(Error):
                heartbeat.retire()


def _refuse_limit(limit: int) -> None:
    """Raise for what is no number of attempts."""
    if not is_of(int, limit):
        raise TypeError(f"work_off() got limit={limit!r}; it takes a whole number.")
    if limit < 0:
        raise ValueError(f"work_off() got limit={limit}; it takes 0 or more.")


def _refuse_inside_a_transaction(alias: str) -> None:
    """Raise in a transaction, but for that of a ``TestCase``."""
    connection = connections[alias]
    if connection.in_atomic_block:
        _refuse_inside_atomic(alias)
    elif is_by_hand(connection):
        raise ErrandsError(
            f"work_off() was called in a transaction of {alias!r} that was begun by "
            "hand: nothing it does there is recorded until that is committed. Call it "
            "after commit() and set_autocommit(True)."
        )


def _refuse_inside_atomic(alias: str) -> None:
    try:
        with transaction.atomic(using=alias, durable=True):
            pass
    except RuntimeError:
        raise ErrandsError(
            f"work_off() was called inside atomic() of {alias!r}: nothing it does "
            "there is recorded until that block ends. Call it after the block."
        ) from None
