"""What ``drain`` and ``inline`` share: a worker of one thread, and its errors."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import Error
from django.tasks import TaskResult
from django.tasks.signals import task_enqueued

from errands.exceptions import ErrandsError
from errands.queue.claims import Claim
from errands.tasks.outcomes import AttemptError
from errands.testing.store import OwnStore
from errands.testing.transactions import as_if_committed
from errands.worker.connections import callers_transactions
from errands.worker.options import WorkerOptions
from errands.worker.solo import Solo, solo_workplace

WORKER_NAME = "errands.testing"
DEEPEST = 100


class Hand(NamedTuple):
    """What runs tasks here, and the id it claims them under."""

    solo: Solo
    id: UUID


@contextmanager
def hand_for(store: OwnStore, *, queues: str = "*") -> Iterator[Hand]:
    """Return a worker of this thread; what it still holds at the end is released.

    It has no row among the workers: nobody else sees what is not committed.
    """
    options = WorkerOptions(
        backend=store.backend.alias, queues=queues, threads=1, coroutines=1
    )
    workplaces = solo_workplace(store, options, name=WORKER_NAME)
    with callers_transactions(), workplaces as workplace:
        hand = Hand(Solo(workplace, around=as_if_committed), uuid4())
        try:
            yield hand
        finally:
            with suppress(Error):
                hand.solo.give_back(hand.id)


def check_raise_errors(given: object, *, asked_by: str) -> None:
    """Raise ``TypeError`` for what neither asks for errors nor declines them."""
    if not isinstance(given, bool):
        raise TypeError(f"{asked_by} got raise_errors={given!r}; it takes True or False.")


def raise_error(claim: Claim, error: AttemptError, *, asked_by: str) -> None:
    """Raise what a task raised, with a note that says which one and why here.

    What would end the run of the tests, such as ``SystemExit``, is raised as
    the cause of an ``ErrandsError``.
    """
    told = (
        f"Raised by task {claim.path} (id {claim.uuid}, attempt {claim.attempt}) in "
        f"{asked_by}(); with raise_errors=False it stays in the task's result."
    )
    exception = error.exception
    if not isinstance(exception, Exception):
        raise ErrandsError(f"{type(exception).__name__}: {told}") from exception
    exception.add_note(told)
    raise exception


class Lineage:
    """Which task enqueued which, to tell a long list from an endless one.

    More than 100 generations are taken for endless.
    """

    def __init__(self) -> None:
        self._generations: dict[str, int] = {}
        self._ran: Counter[str] = Counter()
        self._current = 0

    @contextmanager
    def of(self, claim: Claim) -> Iterator[None]:
        """Note whatever is enqueued in the block as made by a task."""
        generation = self._generations.get(str(claim.uuid), 0)
        if generation > DEEPEST:
            self._refuse()
        self._ran[claim.path] += 1
        self._current = generation + 1
        # From any sender: a backend may be of a subclass, which is the sender then.
        task_enqueued.connect(self._note)
        try:
            yield
        finally:
            task_enqueued.disconnect(self._note)

    def _note(self, task_result: TaskResult, **_: Any) -> None:
        self._generations[task_result.id] = self._current

    def _refuse(self) -> None:
        ran = ", ".join(f"{path} ({n} times)" for path, n in self._ran.most_common())
        raise ErrandsError(
            f"Tasks go on enqueueing tasks, more than {DEEPEST} deep. It ran: {ran}. "
            "A task that enqueues itself is drained in part by drain(limit=…)."
        )
