"""What a running task knows about its attempt."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, Token
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

from asgiref.sync import sync_to_async
from django.tasks import TaskContext as DjangoTaskContext
from django.tasks import TaskResult

from errands.exceptions import ArgumentError, LeaseLost
from errands.tasks.interrupting import Control

METADATA_LIMIT = 65_536


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class TaskContext(DjangoTaskContext):  # type: ignore[misc] # the stub forgets "frozen"
    """Django's context, the fencing token, metadata, and what the outside asks for."""

    token: int
    """Rises with every claim of the task; a write with an old one is refused."""

    control: Control

    metadata: dict[str, Any]
    """JSON that stays with the task: read it, change it. Kept from attempt to
    attempt, whether they succeed or fail."""

    save: Callable[[str], bool] | None

    def __init__(
        self,
        *,
        task_result: TaskResult,
        token: int = 0,
        control: Control | None = None,
        metadata: dict[str, Any] | None = None,
        save: Callable[[str], bool] | None = None,
    ) -> None:
        """Make it in two thirds of the time that a frozen dataclass takes."""
        SET_RESULT(self, task_result)
        SET_TOKEN(self, token)
        SET_CONTROL(self, Control() if control is None else control)
        SET_METADATA(self, {} if metadata is None else metadata)
        SET_SAVE(self, save)

    @property
    def should_stop(self) -> bool:
        """Whether the worker is stopping: reach a checkpoint and return."""
        return self.control.should_stop

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody cancelled this task."""
        return self.control.cancel_requested

    def save_metadata(self) -> None:
        """Store the metadata now, not only when the attempt ends.

        ``LeaseLost`` when another worker has taken the task over;
        ``ArgumentError`` for what is no JSON. Does nothing on engines that keep
        no metadata.
        """
        if self.save is not None and not self.save(dump_metadata(self.metadata)):
            raise LeaseLost(f"Task {self.task_result.id} belongs to another attempt.")

    async def asave_metadata(self) -> None:
        """Store the metadata now, from async code."""
        await sync_to_async(self.save_metadata)()


SET_RESULT, SET_TOKEN, SET_CONTROL, SET_METADATA, SET_SAVE = (
    getattr(TaskContext, field.name).__set__ for field in fields(TaskContext)
)


def own_context(context: DjangoTaskContext, metadata: Mapping[str, Any]) -> TaskContext:
    """Return our context; on another engine, one that has what ours has.

    There the attempt's number is the token, and metadata begins anew with each
    attempt.
    """
    if isinstance(context, TaskContext):
        return context
    return TaskContext(
        task_result=context.task_result,
        token=context.attempt,
        metadata=deepcopy(dict(metadata)),
    )


def dump_metadata(metadata: dict[str, Any]) -> str:
    """Return metadata as it is stored.

    ``ArgumentError`` for what is no JSON, or more than 64 KB of it.
    """
    try:
        text = json.dumps(metadata, separators=(",", ":"), allow_nan=False)
        _check_keys(metadata)
    except Exception as error:  # noqa: BLE001 - what a task puts in may raise anything
        raise ArgumentError(
            f"The metadata cannot be stored as JSON: {error}. Keep texts, numbers, "
            "lists and dicts in it."
        ) from None
    if len(text) > METADATA_LIMIT:
        raise ArgumentError(
            f"The metadata has {len(text):,} characters of JSON; at most "
            f"{METADATA_LIMIT:,} are stored. Keep a file, and its name in the metadata."
        )
    return text


def _check_keys(metadata: dict[str, Any]) -> None:
    """Raise ``TypeError`` for a key, however deep, that would come back as a text."""
    for key in _keys(metadata):
        if not isinstance(key, str):
            kind = type(key).__qualname__
            raise TypeError(f"its key {key!r:.50} is of type {kind}, not a text")


def _keys(metadata: dict[str, Any]) -> Iterator[object]:
    waiting: list[Any] = [metadata]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, dict):
            yield from part
            waiting += part.values()


_current: ContextVar[TaskContext | None] = ContextVar("errands_task", default=None)


def current_context() -> TaskContext | None:
    """Return the context of the attempt running here, None outside of one."""
    return _current.get()


class attempting:  # noqa: N801 - it reads as a function: with attempting(context)
    """Make a context the current one for a block."""

    __slots__ = ("_before", "_context")

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._before: Token[TaskContext | None] = _current.set(self._context)

    def __exit__(self, *raised: object) -> None:
        _current.reset(self._before)
