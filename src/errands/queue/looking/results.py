"""A stored task, live or finished, as a ``django.tasks`` result."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, overload
from uuid import UUID

from django.tasks import Task as DjangoTask
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask

from errands.arguments import decode
from errands.exceptions import DecodeError, UnknownTask
from errands.instants import for_site
from errands.queue.claims import Claim, Payload
from errands.queue.ids import with_hyphens
from errands.queue.statements.rows import CallRow, StoredResult
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.registry import registry
from errands.tasks.task import Call, Task

SET_TASK, SET_ARGS, SET_KWARGS = (
    getattr(TaskResult, name).__set__ for name in ("task", "args", "kwargs")
)
LATE = {field.name for field in fields(TaskResult)} - {"task", "args", "kwargs"}


class New(NamedTuple):
    """What the result of a task that nobody has claimed is made of."""

    digits: str
    enqueued_at: datetime
    backend: str

    def fields(self) -> dict[str, Any]:
        """Return the fields of Django's result, but for the call."""
        return {
            "id": with_hyphens(self.digits),
            "status": TaskResultStatus.READY,
            "enqueued_at": for_site(self.enqueued_at),
            "started_at": None,
            "finished_at": None,
            "last_attempted_at": None,
            "backend": self.backend,
            "errors": [],
            "worker_ids": [],
            "_return_value": None,
        }


class Running(NamedTuple):
    """What the result of a claim is made of, whose attempt begins."""

    claim: Claim
    worker_name: str
    backend: str

    def fields(self) -> dict[str, Any]:
        """Return the fields of Django's result, but for the call."""
        claim = self.claim
        return {
            "id": str(claim.uuid),
            "status": TaskResultStatus.RUNNING,
            "enqueued_at": for_site(claim.enqueued_at),
            "started_at": _shown(claim.started_at or claim.claimed_at),
            "finished_at": None,
            "last_attempted_at": _shown(claim.claimed_at),
            "backend": self.backend,
            "errors": errors_of(claim.errors),
            "worker_ids": [*claim.worker_ids, self.worker_name],
            "_return_value": None,
        }


class DatabaseTaskResult(TaskResult):
    """Django's result; the return value is decoded when it is read.

    It knows task and arguments, and makes the rest when somebody reads it: of
    thousands of tasks, few are asked.
    """

    __slots__ = ("_late",)

    _late: New | Running

    @classmethod
    def of(
        cls,
        task: DjangoTask,
        args: list[Any],
        kwargs: dict[str, Any],
        *,
        late: New | Running,
    ) -> "DatabaseTaskResult":
        """Return the result of a call, whose arguments are plain JSON."""
        result = cls.__new__(cls)
        SET_TASK(result, task)
        SET_ARGS(result, args)
        SET_KWARGS(result, kwargs)
        SET_LATE(result, late)
        return result

    def __getattr__(self, name: str) -> Any:
        """Make a field that nobody has read or set."""
        if name not in LATE:
            raise AttributeError(name, name=name, obj=self)
        value = self._late.fields()[name]
        assign(self, **{name: value})
        return value

    @property
    def attempts(self) -> int:
        """How many attempts were made; of a running task also past the names kept."""
        late = getattr(self, "_late", None)
        return late.claim.attempt if isinstance(late, Running) else len(self.worker_ids)

    @property
    def return_value(self) -> Any:
        """What the task returned; ``ValueError`` unless it succeeded."""
        stored = TaskResult.return_value.fget(self)  # type: ignore[attr-defined]
        return decode(stored) if isinstance(self.task, Task) else stored


SET_LATE = vars(DatabaseTaskResult)["_late"].__set__


class LateResults(Sequence[TaskResult]):
    """The results of calls that are stored, made when somebody looks at one.

    Who enqueues thousands at once rarely does, and it costs as much as storing.
    """

    def __init__(
        self,
        make: Callable[[CallRow, Call], TaskResult],
        rows: Sequence[CallRow],
        calls: Sequence[Call],
    ) -> None:
        self._make, self._rows, self._calls = make, rows, calls

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[TaskResult]:
        return iter(self._made)

    @overload
    def __getitem__(self, index: int) -> TaskResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[TaskResult]: ...
    def __getitem__(self, index: int | slice) -> TaskResult | list[TaskResult]:
        return self._made[index]

    def __repr__(self) -> str:
        return repr(self._made)

    @cached_property
    def _made(self) -> list[TaskResult]:
        return list(map(self._make, self._rows, self._calls))


def new_result(
    task: DjangoTask,
    row: CallRow,
    call: Call,
    *,
    enqueued_at: datetime,
    backend: str,
) -> DatabaseTaskResult:
    """Return the result of a call that has just been stored."""
    args, kwargs = call
    late = New(row.uuid, enqueued_at, backend)
    return DatabaseTaskResult.of(task, [*args], {**kwargs}, late=late)


def result_of(
    stored: StoredResult, *, backend: str, call: Payload | None = None
) -> DatabaseTaskResult:
    """Return a stored task as a result; ``call`` is its payload, once read.

    ``UnknownTask`` when this process has no task of its path, as newer code
    may: a result needs one, and a path from a row is never imported.
    """
    task = _as_enqueued(
        _known(stored.path, stored.uuid),
        priority=-stored.rank,
        queue_name=stored.queue,
        run_after=_shown(stored.run_at),
    )
    call = call or Payload.parse(stored.payload)
    late = New(stored.uuid.hex, stored.enqueued_at, backend)
    result = DatabaseTaskResult.of(task, call.args, call.kwargs, late=late)
    running = stored.state == TaskState.RUNNING
    assign(
        result,
        status=_status(stored),
        started_at=_shown(stored.started_at or (stored.claimed_at if running else None)),
        last_attempted_at=_shown(stored.claimed_at),
        finished_at=_shown(stored.finished_at),
        errors=errors_of(stored.errors),
        worker_ids=stored.worker_ids,
    )
    if stored.return_value is not None:
        assign(result, _return_value=json.loads(stored.return_value))
    return result


def result_if_known(stored: StoredResult, *, backend: str) -> DatabaseTaskResult | None:
    """Return a stored task as a result; None where this process cannot read it."""
    try:
        return result_of(stored, backend=backend)
    except (DecodeError, UnknownTask):
        return None


def running_result(
    task: DjangoTask, claim: Claim, call: Payload, *, worker_name: str, backend: str
) -> DatabaseTaskResult:
    """Return the result of a claim whose attempt at the task begins."""
    task = _as_enqueued(
        task,
        priority=claim.priority,
        queue_name=claim.queue,
        run_after=_shown(claim.run_at),
    )
    late = Running(claim, worker_name, backend)
    return DatabaseTaskResult.of(task, call.args, call.kwargs, late=late)


def assign(result: TaskResult, **values: Any) -> None:
    """Set fields of a frozen result, as Django's own backends do."""
    for name, value in values.items():
        object.__setattr__(result, name, value)


def errors_of(stored: list[dict[str, str]]) -> list[TaskError]:
    """Return stored errors as Django's."""
    return [
        TaskError(
            exception_class_path=error["exception_class_path"],
            traceback=error["traceback"],
        )
        for error in stored
    ]


def _as_enqueued(
    task: DjangoTask, *, priority: int, queue_name: str, run_after: datetime | None
) -> DjangoTask:
    """Return the task with the settings the call had.

    Where the code no longer allows them, such as a queue since removed, the
    task is returned as the code has it now.
    """
    asked = (priority, queue_name, run_after)
    if asked == (task.priority, task.queue_name, task.run_after):
        return task
    try:
        return replace(
            task, priority=priority, queue_name=queue_name, run_after=run_after
        )
    except InvalidTask:
        return task


def _shown(instant: datetime | None) -> datetime | None:
    return None if instant is None else for_site(instant)


def _known(path: str, uuid: UUID) -> DjangoTask:
    task = registry.find(path)
    if task is None:
        raise UnknownTask(
            f"{uuid} is a result of {path!r}, a task that this process does not know."
        )
    return task


def _status(stored: StoredResult) -> TaskResultStatus:
    if stored.status == ResultStatus.SUCCEEDED:
        return TaskResultStatus.SUCCESSFUL
    if stored.status is not None:
        return TaskResultStatus.FAILED
    if stored.state == TaskState.RUNNING:
        return TaskResultStatus.RUNNING
    return TaskResultStatus.READY
