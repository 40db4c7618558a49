"""What a step of the state machine notes in the model, and checks at once."""

from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from hypothesis.stateful import RuleBasedStateMachine

from errands.queue.claims import Claim
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
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
from tests.torture import tasks
from tests.torture.faults import lost_answer
from tests.torture.model import Model, Modelled, picked
from tests.torture.world import Worker, clear, live_rows

MOST_TASKS = 14
CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "plain": (tasks.plain, ()),
    "fragile": (tasks.fragile, ()),
    "brief": (tasks.brief, ()),
    "unkept": (tasks.unkept, ()),
    "keyed": (tasks.keyed, ("a",)),
    "of another key": (tasks.keyed, ("b",)),
    "single": (tasks.single, (1,)),
    "another single": (tasks.single, (2,)),
    "once": (tasks.once, ()),
}
ENDS = {
    Succeeded: ResultStatus.SUCCEEDED,
    Failed: ResultStatus.FAILED,
    Discarded: ResultStatus.DISCARDED,
    Cancelled: ResultStatus.CANCELLED,
}


class Bookkeeping(RuleBasedStateMachine):
    """The queue, its model, and what keeps the one in step with the other."""

    def __init__(self) -> None:
        super().__init__()
        clear()
        self.backend: Any = task_backends["default"]
        self.store = Store("default")
        self.model = Model()
        self.workers: list[Worker] = []
        self.zombies: list[tuple[Worker, Claim]] = []
        self.enqueued = 0

    @property
    def has_room(self) -> bool:
        """Whether the model is still small enough to be read in a failure."""
        return len(self.model.live()) < MOST_TASKS

    @property
    def healthy(self) -> list[Worker]:
        """The workers that beat."""
        return [worker for worker in self.workers if not worker.is_frozen]

    @property
    def held(self) -> list[tuple[Worker, Claim]]:
        """What healthy workers hold."""
        return [
            (worker, claim) for worker in self.healthy for claim in worker.claims.values()
        ]

    def call(self, kind: str, **changes: Any) -> Any:
        """Enqueue one call of a kind."""
        task, args = CALLS[kind]
        return task.using(**changes).enqueue(*args)

    def stored(self, result: Any, *, delay: int = 0) -> None:
        """Note what was stored, unless its unique key was taken."""
        options, uuid = result.task.options, UUID(result.id)
        unique = f"{result.args}" if options.unique else None
        owner = self.model.owner(unique) if unique else None
        if owner is not None:
            assert uuid == owner.uuid
            return
        assert uuid not in self.model.tasks
        key, limit = options.concurrency or ("", 0)
        self.enqueued += 1
        self.model.tasks[uuid] = Modelled(
            uuid=uuid,
            order=self.enqueued,
            queue=result.task.queue_name,
            priority=result.task.priority,
            due=self.model.now + delay,
            state=TaskState.SCHEDULED if delay else TaskState.READY,
            max_attempts=options.max_attempts,
            at_most_once=options.at_most_once,
            keep=getattr(options.keep, "seconds", None),
            is_unkept=isinstance(options.keep, dict),
            unique=unique,
            key=key.format(key=(*result.args, "")[0]),
            limit=limit,
        )

    def taken(
        self, worker: Worker, selection: str, claims: list[Claim], *, limit: int
    ) -> None:
        """Check that a claim took what comes first, and note it."""
        first = self.model.claimable(selection.split(","), limit)
        assert {claim.uuid for claim in claims} == {task.uuid for task in first}
        for claim in claims:
            task = self.model.tasks[claim.uuid]
            self.model.claim(task, worker.id)
            assert (claim.token, claim.attempt) == (task.token, task.attempt)
            assert claim.cancel_requested is task.cancel_asked
            # No task here has any, and what a hand wrote into a row is none.
            assert claim.metadata == {}

    def release_unknown(self, worker: Worker) -> None:
        """Give back what the database says a worker holds and it does not know."""
        held = self.store.held_by(worker.id)
        unknown = [claim for claim in held if claim.id not in worker.claims]
        for claim in unknown:
            self.model.claim(self.model.tasks[claim.uuid], worker.id)
        assert self.store.release(unknown) == len(unknown)
        for claim in unknown:
            self.model.release(self.model.tasks[claim.uuid])

    def settled(
        self, number: int, outcome: Outcome, *, delivered: bool | None = None
    ) -> None:
        """Settle what a healthy worker holds; with a fault, twice."""
        held = picked(self.held, number)
        if held is None:
            return
        worker, claim = held
        task = self.forgotten(worker, claim)
        outcome = self.allowed(task, outcome)
        if delivered is None:
            assert worker.settle(claim, outcome)
        else:
            self.settle_twice(worker, claim, outcome, delivered=delivered)
        self.ended(task, outcome)

    def allowed(self, task: Modelled, outcome: Outcome) -> Outcome:
        """Return the outcome an attempt may have: the last one cannot be retried."""
        if isinstance(outcome, Retry) and task.attempt == task.max_attempts:
            return Failed(outcome.error)
        return outcome

    def settle_twice(
        self, worker: Worker, claim: Claim, outcome: Outcome, *, delivered: bool
    ) -> None:
        """Settle without an answer, then again: a result is recognised."""
        try:
            with lost_answer(delivered=delivered):
                worker.settle(claim, outcome)
        except OperationalError:
            settled = worker.settle(claim, outcome)
        is_requeued = isinstance(outcome, Retry | Interrupted | Snoozed)
        assert settled is not (delivered and is_requeued)

    def ended(self, task: Modelled, outcome: Outcome) -> None:
        """Note how an attempt ended."""
        match outcome:
            case Succeeded() if task.is_unkept:
                self.model.drop(task)
            case Succeeded() | Failed() | Discarded() | Cancelled():
                self.model.finish(task, ENDS[type(outcome)])
            case Retry(after):
                self.model.retry(task, after=int(after.total_seconds()))
            case Snoozed(after):
                self.model.release(task, after=int(after.total_seconds()))
            case Interrupted():
                self.model.interrupt(task)

    @property
    def known_results(self) -> list[Modelled]:
        """The results that have not expired."""
        return [task for task in self.model.ended() if not self.is_gone(task)]

    def is_gone(self, task: Modelled) -> bool:
        """Whether a result of its own expiry is over, deleted or not."""
        return task.own_keep is not None and self.model.is_expired(task)

    @property
    def sharpest_zombies(self) -> list[tuple[Worker, Claim]]:
        """The zombies whose task somebody else runs now, or all."""
        sharp = [
            zombie
            for zombie in self.zombies
            if self.model.tasks[zombie[1].uuid].state == TaskState.RUNNING
            and not self.fenced(zombie[1])[1]
        ]
        return sharp or self.zombies

    def fenced(self, claim: Claim) -> tuple[Modelled, bool]:
        """Return a claim's task, and whether it is still held under this claim."""
        task = self.model.tasks[claim.uuid]
        return task, task.token == claim.token and task.state == TaskState.RUNNING

    def forgotten(self, worker: Worker, claim: Claim) -> Modelled:
        """Let a worker forget a claim; return its task."""
        del worker.claims[claim.id]
        self.zombies.append((worker, claim))
        return self.model.tasks[claim.uuid]

    def buried(self, worker: Worker) -> None:
        """Replace a dead worker; a part of it may still be writing."""
        self.zombies += [(worker, claim) for claim in worker.claims.values()]
        self.workers.remove(worker)
        self.workers.append(Worker(self.store, self.model.now))

    def blocked_as_the_tables_say(self) -> None:
        """Follow who of the ready waits for a slot, and who was let through."""
        for row in live_rows():
            task = self.model.tasks.get(row["uuid"])
            either = {TaskState.READY, TaskState.BLOCKED}
            if task is not None and task.key and {task.state, row["state"]} == either:
                task.state = TaskState(row["state"])

    def waits_for_a_slot(self, task: Modelled) -> bool:
        """Whether a task is blocked, and nobody has paused its queue."""
        return task.state == TaskState.BLOCKED and task.queue not in self.model.paused

    def is_unknown(self, task_id: str) -> None:
        """Check that nobody knows a task."""
        try:
            self.backend.get_result(task_id)
        except TaskResultDoesNotExist:
            return
        raise AssertionError(f"{task_id} was never committed, and is there")
