"""The queue's own upkeep."""

from errands.queue.backend import backends
from errands.queue.liveness import forget_expired
from errands.queue.rates import forget_drained
from errands.queue.store import Store
from errands.tasks.sweeps import rare_sweep, sweep


@sweep
def unblock_tasks() -> int:
    """Promote what waits for a slot that is free; return how many tasks."""
    stores = {backend.database_alias: Store(backend.alias) for backend in backends()}
    return sum(store.unblock() for store in stores.values())


@rare_sweep
def prune_results() -> int:
    """Delete a batch of results that are older than the site keeps them."""
    return sum(Store(backend.alias).prune() for backend in backends())


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
