"""A queue with a worker that is driven by hand."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.tasks import TaskResult
from django.tasks.signals import task_finished

from errands import instants
from errands.queue.claiming.selection import Selection
from errands.queue.claiming.suspects import claim_suspect
from errands.queue.claims import Claim, Settlement
from errands.queue.living import liveness, rescuing
from errands.queue.store import Store
from errands.tasks.outcomes import AttemptError, Failed, Outcome, Succeeded

LEASE = timedelta(seconds=30)


class ManualWorker:
    """One worker, moved step by step."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.identity = liveness.WorkerIdentity.of_this_process(uuid4())
        liveness.register(store.alias, self.identity, LEASE)

    def claim(self, queues: str = "*", limit: int = 10, **priorities: int) -> list[Claim]:
        """Claim what is ready."""
        selection = Selection.parse(queues, **priorities)
        return self.store.claim(self.identity.id, selection, limit)

    def claim_suspect(self, queues: str = "*", **priorities: int) -> list[Claim]:
        """Claim a suspect, if there is one, as a quarantine process does."""
        selection = Selection.parse(queues, **priorities)
        claim = claim_suspect(self.store, self.identity.id, selection)
        return [] if claim is None else [claim]

    def die(self, *started: Claim) -> list[rescuing.Rescued]:
        """End suddenly, having started some of the claims; the supervisor rescues."""
        ids = {claim.id for claim in started}
        return rescuing.rescue_worker(
            self.store, self.identity.id, started=ids, cause="killed by signal 9"
        )

    def settle(self, claims: list[Claim], outcome: Outcome) -> set[int]:
        """Settle claims with one outcome."""
        now = instants.now()
        return set(
            self.store.settle(
                [
                    Settlement(claim, outcome, now, now, self.identity.name)
                    for claim in claims
                ]
            )
        )

    def succeed(self, claims: list[Claim], value: object = None) -> set[int]:
        """Settle claims as succeeded."""
        return self.settle(claims, Succeeded(value))

    def fail(self, claims: list[Claim]) -> set[int]:
        """Settle claims as failed."""
        return self.settle(claims, Failed(AttemptError.of(ValueError("no luck"))))

    def expire(self) -> None:
        """Let the lease run out."""
        liveness.heartbeat(self.store.alias, self.identity.id, timedelta(seconds=-60))


@pytest.fixture
def store() -> Store:
    """Return the store of the default backend."""
    return Store("default")


@pytest.fixture
def new_worker(store: Store) -> Callable[[], ManualWorker]:
    """Return a function that boots another worker."""
    return lambda: ManualWorker(store)


@pytest.fixture
def worker(new_worker: Callable[[], ManualWorker]) -> ManualWorker:
    """Return a worker."""
    return new_worker()


@pytest.fixture
def finished() -> Iterator[list[str]]:
    """Collect the ids that task_finished names."""
    ids: list[str] = []

    def note(task_result: TaskResult, **kwargs: object) -> None:
        ids.append(task_result.id)

    task_finished.connect(note)
    yield ids
    task_finished.disconnect(note)
