"""A stored task, live or finished, as a ``django.tasks`` result."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Any, overload
from uuid import UUID

from django.tasks import Task as DjangoTask
from django.tasks import TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask

from errands.arguments import decode
from errands.exceptions import DecodeError, UnknownTask
from errands.instants import for_site
from errands.queue.claims import Claim, EncodedCall, Payload
from errands.queue.statements.rows import CallRow
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.registry import registry
from errands.tasks.task import Task

*SETTERS, SET_RETURN_VALUE = (
    getattr(TaskResult, field.name).__set__ for field in fields(TaskResult)
)
SET_TASK, SET_ARGS, SET_KWARGS = (
    getattr(TaskResult, name).__set__ for name in ("task", "args", "kwargs")
)
LATE = {field.name for field in fields(TaskResult)} - {"task", "args", "kwargs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """What the two tables hold of one task.

    ``state`` is set for a live row, ``status`` for a finished one.
    """

    uuid: UUID
    path: str
    payload: str
    queue: str
    rank: int
    run_at: datetime | None
    enqueued_at: datetime
    started_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    errors: list[dict[str, str]]
    worker_ids: list[str]
    state: int | None
    status: int | None
    return_value: str | None
    expires_at: datetime | None = None
    concurrency_key: str | None = None
    token: int = 0


class DatabaseTaskResult(TaskResult):
    """Django's result; the return value is decoded when it is read.

    One of a running task knows task and arguments, and makes the rest when
    somebody reads it: of thousands of tasks, few are asked.
    """

    __slots__ = ("_late",)

    _late: tuple[Claim, str, str]
    """The claim, the worker's name and the backend's alias."""

    def __post_init__(self) -> None:
        """Normalize the arguments, unless they were encoded by us."""
        if not isinstance(self.task, Task):
            TaskResult.__post_init__(self)

    @classmethod
    def of(cls, *values: Any) -> "DatabaseTaskResult":
        """Return a result, given Django's fields in their order.

        Its constructor takes twice as long, which is felt for each task.
        """
        result = cls.__new__(cls)
        for set_field, value in zip(SETTERS, values, strict=True):
            set_field(result, value)
        SET_RETURN_VALUE(result, None)
        result.__post_init__()
        return result

    @classmethod
    def running(
        cls, task: DjangoTask, call: Payload, *, late: tuple[Claim, str, str]
    ) -> "DatabaseTaskResult":
        """Return the result of a claim whose attempt begins."""
        result = cls.__new__(cls)
        SET_TASK(result, task)
        SET_ARGS(result, call.args)
        SET_KWARGS(result, call.kwargs)
        SET_LATE(result, late)
        result.__post_init__()
        return result

    def __getattr__(self, name: str) -> Any:
        """Make a field of a running task's result that nobody has read or set."""
        if name not in LATE:
            raise AttributeError(name, name=name, obj=self)
        value = _when_running(*self._late)[name]
        assign(self, **{name: value})
        return value

    @property
    def attempts(self) -> int:
        """How many attempts were made; of a running task also past the names kept."""
        late = getattr(self, "_late", None)
        return len(self.worker_ids) if late is None else late[0].attempt

    @property
    def return_value(self) -> Any:
        """What the task returned; ``ValueError`` unless it succeeded."""
        stored = TaskResult.return_value.fget(self)  # type: ignore[attr-defined]
        return decode(stored) if isinstance(self.task, Task) else stored


SET_LATE = DatabaseTaskResult._late.__set__  # type: ignore[attr-defined]


class LateResults(Sequence[TaskResult]):
    """The results of calls that are stored, made when somebody looks at one.

    Who enqueues thousands at once rarely does, and it costs as much as storing.
    """

    def __init__(
        self,
        make: Callable[[CallRow, EncodedCall], TaskResult],
        rows: Sequence[CallRow],
        calls: Sequence[EncodedCall],
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
    call: EncodedCall,
    *,
    task_id: str,
    enqueued_at: datetime,
    backend: str,
) -> DatabaseTaskResult:
    """Return the result of a task that has not been attempted."""
    args, kwargs = call
    return DatabaseTaskResult.of(
        task,
        task_id,
        TaskResultStatus.READY,
        enqueued_at,
        None,
        None,
        None,
        [*args],
        {**kwargs},
        backend,
        [],
        [],
    )


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
    result = new_result(
        task,
        (call.args, call.kwargs),
        task_id=str(stored.uuid),
        enqueued_at=for_site(stored.enqueued_at),
        backend=backend,
    )
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
    claim: Claim, call: Payload, *, worker_name: str, backend: str
) -> DatabaseTaskResult:
    """Return the result of a claim whose attempt begins."""
    task = _as_enqueued(
        _known(claim.path, claim.uuid),
        priority=claim.priority,
        queue_name=claim.queue,
        run_after=_shown(claim.run_at),
    )
    late = claim, worker_name, backend
    return DatabaseTaskResult.running(task, call, late=late)


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


def _when_running(claim: Claim, worker_name: str, backend: str) -> dict[str, Any]:
    return {
        "id": str(claim.uuid),
        "status": TaskResultStatus.RUNNING,
        "enqueued_at": for_site(claim.enqueued_at),
        "started_at": _shown(claim.started_at or claim.claimed_at),
        "finished_at": None,
        "last_attempted_at": _shown(claim.claimed_at),
        "backend": backend,
        "errors": errors_of(claim.errors),
        "worker_ids": [*claim.worker_ids, worker_name],
        "_return_value": None,
    }


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
