"""``inline``: every enqueue runs its task at once, in the caller."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import local
from typing import Any
from unittest import mock
from uuid import UUID

from django.tasks import TaskResult

from errands.queue.backend import DatabaseBackend
from errands.queue.claims import Claim
from errands.queue.looking.results import assign
from errands.tasks.outcomes import AttemptError, Failed, Retry
from errands.testing.running import (
    Hand,
    Lineage,
    check_raise_errors,
    hand_for,
    raise_error,
)
from errands.testing.store import OwnStore, store_of

REFRESHED = (
    "status",
    "errors",
    "started_at",
    "last_attempted_at",
    "finished_at",
    "worker_ids",
    "_return_value",
)

type Raised = tuple[Claim, AttemptError]


@contextmanager
def inline(*, raise_errors: bool = True) -> Iterator[None]:
    """Run every task that is enqueued inside the block before ``enqueue`` returns.

    In the caller's thread and transaction, as a worker would: with its context,
    signals and outcomes. Retries are made at once, without their pause. What
    is scheduled for later, over its rate or without a free slot waits, for
    ``drain``. What a task enqueues runs when its attempt has ended.

    The exception of a task that failed for good is raised by the outermost
    ``enqueue``; ``raise_errors=False`` keeps it in the result, which says in
    either case how the task ended. Blocks can be nested: the innermost decides.
    Affects every thread of this process.
    """
    check_raise_errors(raise_errors, asked_by="inline()")
    runner = _Inline(raise_errors=raise_errors)
    with ExitStack() as stack:
        if not _runners:
            for name in ("enqueue", "enqueue_many"):
                replaced = _running(getattr(DatabaseBackend, name))
                stack.enter_context(mock.patch.object(DatabaseBackend, name, replaced))
        _runners.append(runner)
        stack.callback(_runners.remove, runner)
        yield


def _running(enqueue: Callable[..., Any]) -> Callable[..., Any]:
    """Return the backend's method, followed by what it enqueued."""

    def enqueue_and_run(
        backend: DatabaseBackend, *call: Any, **named: Any
    ) -> TaskResult | Sequence[TaskResult]:
        enqueued: TaskResult | Sequence[TaskResult] = enqueue(backend, *call, **named)
        results = [enqueued] if isinstance(enqueued, TaskResult) else enqueued
        # Another thread's block may have just ended, and with it the last runner.
        for innermost in _runners[-1:]:
            innermost.follow(backend, results)
        return enqueued

    return enqueue_and_run


class _Inline(local):
    """Runs what this thread enqueues, one after another."""

    def __init__(self, *, raise_errors: bool) -> None:
        self._raise_errors = raise_errors
        self._waiting: deque[tuple[str, UUID]] = deque()
        self._is_running = False

    def follow(self, backend: DatabaseBackend, results: Sequence[TaskResult]) -> None:
        """Run what has been enqueued; what a task enqueued, after its attempt."""
        self._waiting += [(backend.alias, UUID(result.id)) for result in results]
        if not self._is_running:
            self._run(backend, results)

    def _run(self, backend: DatabaseBackend, results: Sequence[TaskResult]) -> None:
        self._is_running, lineage = True, Lineage()
        raised: list[Raised] = []
        try:
            while self._waiting:
                alias, uuid = self._waiting.popleft()
                store = store_of(alias, asked_by="inline()")
                with hand_for(store) as hand:
                    raised += _run_one(store, hand, uuid, lineage=lineage)
        finally:
            self._is_running = False
            self._waiting.clear()
        for result in results:
            _refresh(result, backend)
        if raised and self._raise_errors:
            claim, error = raised[0]
            raise_error(claim, error, asked_by="inline")


_runners: list[_Inline] = []
"""Those of the open blocks, the innermost last."""


def _run_one(
    store: OwnStore, hand: Hand, uuid: UUID, *, lineage: Lineage
) -> list[Raised]:
    """Run a task until it has ended or has to wait; return what ended it."""
    while claim := store.claim_one(hand.id, uuid):
        with lineage.of(claim):
            outcome = hand.solo.attempt(claim)
        if isinstance(outcome, Retry):
            store.hasten(uuid)
        else:
            return [(claim, outcome.error)] if isinstance(outcome, Failed) else []
    return []


def _refresh(result: TaskResult, backend: DatabaseBackend) -> None:
    fresh = backend.last_result(result.id)
    assign(result, **{name: getattr(fresh, name) for name in REFRESHED})
