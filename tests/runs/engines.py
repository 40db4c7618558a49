"""Two engines and a worker for each, driven step by step.

``shared`` is our own: its tasks are rows of the run's database. ``remote``
keeps them elsewhere, as a broker would: no transaction of ours includes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from django.tasks import Task, TaskResult, TaskResultStatus, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import TaskError
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_finished
from django.utils import timezone

from errands import instants
from errands.conf import settings
from errands.exceptions import TaskCancelled, TaskCrashed
from errands.queue.claiming.selection import Selection
from errands.queue.claiming.suspects import claim_suspect
from errands.queue.claims import Claim, Payload, Settlement
from errands.queue.living import liveness, rescuing
from errands.queue.store import Store
from errands.tasks.attempt import perform
from errands.tasks.context import TaskContext
from errands.tasks.interrupting import Control
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    Succeeded,
)
from errands.tasks.registry import registry

CRASHES = 3


@dataclass
class RemoteTask:
    """A task as the broker keeps it."""

    task: Task
    args: list[Any]
    id: str = field(default_factory=lambda: uuid4().hex)
    status: TaskResultStatus = TaskResultStatus.READY
    token: int = 0
    crashes: int = 0
    errors: list[AttemptError] = field(default_factory=list)
    finished_at: datetime | None = None


class RemoteEngine(BaseTaskBackend):
    """Keeps tasks outside every database."""

    supports_get_result = True
    supports_priority = True
    supports_defer = True
    supports_cancel = True

    tasks: ClassVar[dict[str, RemoteTask]] = {}
    is_away: ClassVar[bool] = False

    def enqueue(
        self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult:
        """Keep a task."""
        if self.is_away:
            raise ConnectionError("The broker is away.")
        stored = RemoteTask(task, list(args))
        self.tasks[stored.id] = stored
        return self.get_result(stored.id)

    def get_result(self, result_id: str) -> TaskResult:
        """Return a task that was kept."""
        stored = self.tasks.get(result_id)
        if stored is None:
            raise TaskResultDoesNotExist(result_id)
        return TaskResult(
            task=stored.task,
            id=stored.id,
            status=stored.status,
            enqueued_at=None,
            started_at=None,
            finished_at=stored.finished_at,
            last_attempted_at=None,
            args=stored.args,
            kwargs={},
            backend=self.alias,
            errors=[
                TaskError(
                    exception_class_path=error.exception_class_path,
                    traceback=error.traceback,
                )
                for error in stored.errors
            ],
            worker_ids=["remote"] * stored.token,
        )

    def cancel(self, result_id: str) -> bool:
        """Cancel a waiting task."""
        stored = self.tasks[result_id]
        if stored.status != TaskResultStatus.READY:
            return False
        self.finish(stored, Cancelled(AttemptError.of(TaskCancelled())))
        return True

    def finish(self, stored: RemoteTask, outcome: Outcome) -> None:
        """Record an outcome; tell everybody if it is the last."""
        match outcome:
            case Succeeded():
                stored.status = TaskResultStatus.SUCCESSFUL
            case Failed(error) | Discarded(error) | Cancelled(error):
                stored.status = TaskResultStatus.FAILED
                stored.errors.append(error)
            case Interrupted() | Retry() | Snoozed():
                stored.status = TaskResultStatus.READY
                return
        stored.finished_at = timezone.now()
        result = self.get_result(stored.id)
        task_finished.send_robust(type(self), task_result=result)


class Worker(Protocol):
    """What the tests ask of a worker, whatever its engine."""

    alias: str
    control: Control

    def drain(self) -> None:
        """Attempt whatever is ready."""

    def claim(self) -> None:
        """Take one task in hand and do nothing yet."""

    def rescue(self) -> None:
        """Take back what this worker held when it died."""


class SharedWorker:
    """A worker of our own engine."""

    alias = "default"

    def __init__(self) -> None:
        self.control = Control()
        self.store = Store(self.alias)
        self._boot()

    def drain(self) -> None:
        """Attempt whatever is ready."""
        while claim := self._next():
            task = registry.find(claim.path)
            assert task is not None
            call = Payload.parse(claim.payload)
            result = self.store.backend.result_for(task, claim, call, worker_name="hand")
            started_at = instants.now()
            context = TaskContext(
                task_result=result, token=claim.token, control=self.control
            )
            outcome = perform(task, context)
            settlement = Settlement(claim, outcome, started_at, instants.now(), "hand")
            if self.store.settle([settlement]):
                self.store.backend.finished_result(result, settlement)
                if result.is_finished:
                    backend = type(self.store.backend)
                    task_finished.send_robust(backend, task_result=result)
            if isinstance(outcome, Interrupted):
                return

    def _next(self) -> Claim | None:
        ready = self.store.claim(self.identity.id, Selection(), 1)
        suspect = partial(claim_suspect, self.store, self.identity.id, Selection())
        return ready[0] if ready else suspect()

    def claim(self) -> None:
        """Take one task in hand and do nothing yet."""
        self._next()

    def rescue(self) -> None:
        """Take back what this worker held; each costs a crash."""
        started = [claim.id for claim in self.store.held_by(self.identity.id.hex)]
        rescuing.rescue_worker(
            self.store, self.identity.id, started=started, cause="killed"
        )
        self._boot()

    def _boot(self) -> None:
        self.identity = liveness.WorkerIdentity.of_this_process(uuid4())
        liveness.register(self.store.alias, self.identity, settings().lease)


class RemoteWorker:
    """A worker of the remote engine."""

    alias = "remote"

    def __init__(self) -> None:
        self.control = Control()
        self.engine = task_backends[self.alias]

    def drain(self) -> None:
        """Attempt whatever is ready."""
        while ready := self._next():
            ready.status = TaskResultStatus.RUNNING
            ready.token += 1
            result = self.engine.get_result(ready.id)
            context = TaskContext(
                task_result=result, token=ready.token, control=self.control
            )
            outcome = perform(ready.task, context)
            self.engine.finish(ready, outcome)  # type: ignore[attr-defined]
            if isinstance(outcome, Interrupted):
                return

    def claim(self) -> None:
        """Take one task in hand and do nothing yet."""
        if ready := self._next():
            ready.status = TaskResultStatus.RUNNING
            ready.token += 1

    def rescue(self) -> None:
        """Make ready again what runs; end what crashed too often."""
        for stored in list(RemoteEngine.tasks.values()):
            if stored.status == TaskResultStatus.RUNNING:
                stored.crashes += 1
                stored.status = TaskResultStatus.READY
                if stored.crashes >= CRASHES:
                    error = AttemptError.of(TaskCrashed("killed"))
                    self.engine.finish(stored, Failed(error))  # type: ignore[attr-defined]

    def _next(self) -> RemoteTask | None:
        ready = (t for t in RemoteEngine.tasks.values() if t.status == "READY")
        return next(ready, None)


WORKERS: dict[str, type[SharedWorker] | type[RemoteWorker]] = {
    "shared": SharedWorker,
    "remote": RemoteWorker,
}
