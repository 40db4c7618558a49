"""The queue's own upkeep."""

import time

from errands.queue.backend import backends
from errands.queue.living.liveness import forget_expired
from errands.queue.store import Store
from errands.queue.throttling.rates import forget_drained
from errands.queue.writing.pruning import BATCH
from errands.tasks.sweeps import rare_sweep

# As long, what is due meanwhile waits to be staged.
PRUNING_SECONDS = 0.5


@rare_sweep
def prune_results() -> int:
    """Delete results that are older than the site keeps them, for half a second.

    In small batches; what is left then is for the next round.
    """
    until = time.monotonic() + PRUNING_SECONDS
    return sum(_prune(Store(backend.alias), until) for backend in backends())


@rare_sweep
def forget_workers() -> None:
    """Delete the rows of workers that have long been gone."""
    for alias in {backend.database_alias for backend in backends()}:
        forget_expired(alias)


@rare_sweep
def forget_rates() -> None:
    """Delete the rates that nobody has asked about for a day."""
    for alias in {backend.database_alias for backend in backends()}:
        forget_drained(alias)


def _prune(store: Store, until: float) -> int:
    deleted = batch = store.prune()
    while batch >= BATCH and time.monotonic() < until:
        batch = store.prune()
        deleted += batch
    return deleted
