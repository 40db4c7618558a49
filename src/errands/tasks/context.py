"""What a running task knows about its attempt."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from django.tasks import TaskContext as DjangoTaskContext


class Control:
    """What the outside asks of a running attempt.

    Engines pass one to each attempt and set it from another thread.
    """

    def __init__(self) -> None:
        self.should_stop = False
        self.cancel_requested = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext(DjangoTaskContext):  # type: ignore[misc] # the stub forgets "frozen"
    """Django's context, the fencing token, and what the outside asks for."""

    token: int = 0
    """Rises with every claim of the task; a write with an old one is refused."""

    control: Control = field(default_factory=Control)

    @property
    def should_stop(self) -> bool:
        """Whether the worker is stopping: reach a checkpoint and return."""
        return self.control.should_stop

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody cancelled this task."""
        return self.control.cancel_requested


_current: ContextVar[TaskContext | None] = ContextVar("errands_task", default=None)


def current_context() -> TaskContext | None:
    """Return the context of the attempt running here, None outside of one."""
    return _current.get()


@contextmanager
def attempting(context: TaskContext) -> Iterator[None]:
    """Make ``context`` the current one."""
    before = _current.set(context)
    try:
        yield
    finally:
        _current.reset(before)
