"""``drain``: run what waits, in the test's own thread and transaction."""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from django.tasks import TaskResult

from errands.queue.living.rescuing import last_result
from errands.tasks.outcomes import (
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    Succeeded,
)
from errands.testing.running import (
    Lineage,
    check_raise_errors,
    hand_for,
    raise_error,
)
from errands.testing.store import store_of

COUNTED: dict[type[object], str] = {
    Succeeded: "succeeded",
    Failed: "failed",
    Retry: "retried",
    Discarded: "discarded",
    Cancelled: "cancelled",
    Snoozed: "postponed",
    Interrupted: "interrupted",
    type(None): "lost",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How many attempts a ``drain`` made, by what came of them.

    ``drain() == Drained(succeeded=2)`` compares the numbers; ``results`` are
    the tasks themselves.
    """

    succeeded: int = 0
    failed: int = 0
    """They raised for the last time."""

    retried: int = 0
    """They raised, and wait for their next attempt."""

    discarded: int = 0
    cancelled: int = 0
    postponed: int = 0
    """Not started yet: over their rate, or unknown to this process."""

    interrupted: int = 0
    """They gave themselves back, which also ends the drain."""

    lost: int = 0
    """Somebody took them away while they ran."""

    results: tuple[TaskResult, ...] = field(default=(), compare=False, repr=False)
    """What the backend says of each, in the order they ran."""

    @property
    def attempts(self) -> int:
        """All of them."""
        return sum(getattr(self, name) for name in COUNTED.values())

    def and_one(self, outcome: Outcome | None, result: TaskResult | None) -> "Drained":
        """Return this with one attempt more."""
        name = COUNTED[type(outcome)]
        results = self.results if result is None else (*self.results, result)
        return replace(self, results=results, **{name: getattr(self, name) + 1})


def drain(
    limit: int | None = None,
    *,
    backend: str = "default",
    queues: str = "*",
    raise_errors: bool = True,
) -> Drained:
    """Run everything that is ready, and what that makes ready; return what ran.

    In this thread and on its connections, so also inside the transaction of a
    ``TestCase``. Tasks run one by one in a worker's order, and each once: what
    is scheduled for later, retries among them, waits for ``travel_to``.

    The first exception of an attempt that failed, or is to be retried, is
    raised once it has been recorded; ``raise_errors=False`` keeps all of them
    in the results. ``limit`` stops after so many attempts. Without it, tasks
    that enqueue tasks more than 100 deep are an ``ErrandsError`` that names
    them.
    """
    _check(limit, queues)
    check_raise_errors(raise_errors, asked_by="drain()")
    store = store_of(backend, asked_by="drain()")
    drained, lineage = Drained(), Lineage()
    with hand_for(store, queues=queues) as (solo, worker_id):
        while claim := solo.claim(worker_id):
            with lineage.of(claim) if limit is None else nullcontext():
                outcome = solo.attempt(claim)
            drained = drained.and_one(outcome, last_result(store, claim))
            if raise_errors and isinstance(outcome, Failed | Retry):
                raise_error(claim, outcome.error, asked_by="drain")
            if isinstance(outcome, Interrupted) or _is_reached(limit, drained):
                break
    return drained


def _check(limit: object, queues: object) -> None:
    if limit is not None and type(limit) is not int:
        raise TypeError(f"drain() got limit={limit!r}; it takes an int, or None.")
    if limit is not None and limit < 1:
        raise ValueError(f"drain() got limit={limit}; it takes 1 or more.")
    if not isinstance(queues, str):
        raise TypeError(
            f"drain() got queues={queues!r}; it takes a str, as a worker's --queues "
            "does: 'mail,default'."
        )


def _is_reached(limit: int | None, drained: Drained) -> bool:
    return limit is not None and drained.attempts >= limit
