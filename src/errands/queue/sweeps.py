"""The queue's own upkeep."""

from errands.queue.backend import backends
from errands.queue.store import Store
from errands.tasks.sweeps import sweep


@sweep
def prune_results() -> None:
    """Delete a batch of results that are older than the site keeps them."""
    for backend in backends():
        Store(backend.alias).prune()
