"""``@task`` makes a function a task."""

from collections.abc import Callable
from typing import Any, overload

from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_QUEUE_NAME
from django.tasks.base import DEFAULT_TASK_PRIORITY

from errands.tasks.options import TaskOptions
from errands.tasks.registry import registry
from errands.tasks.task import Task


@overload
def task(function: Callable[..., Any], /) -> Task: ...


@overload
def task(
    *,
    priority: int = ...,
    queue_name: str = ...,
    backend: str = ...,
    takes_context: bool = ...,
    **options: Any,
) -> Callable[[Callable[..., Any]], Task]: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    priority: int = DEFAULT_TASK_PRIORITY,
    queue_name: str = DEFAULT_TASK_QUEUE_NAME,
    backend: str = DEFAULT_TASK_BACKEND_ALIAS,
    takes_context: bool = False,
    **options: Any,
) -> Task | Callable[[Callable[..., Any]], Task]:
    """Make a module-level function a task that can be enqueued.

    Takes what ``django.tasks.task`` takes, and the options of ``TaskOptions``.
    It works with every backend: an option the backend cannot honour is kept
    and ignored there, so swapping ``TASKS`` in tests breaks no import.
    """
    if "run_after" in options:
        raise TypeError(
            "run_after cannot be defined statically with the @task decorator. "
            "Use .using(run_after=...) to set it dynamically."
        )
    if function is not None and not callable(function):
        raise TypeError(
            f"task() got {function!r:.50}; it takes a function. Options have names, such "
            "as @task(queue_name='mail')."
        )
    parsed = TaskOptions.parse(options)

    def decorate(func: Callable[..., Any]) -> Task:
        made = Task(
            func=func,
            priority=priority,
            queue_name=queue_name,
            backend=backend,
            takes_context=takes_context,
            options=parsed,
        )
        registry.register(made.module_path, lambda: made)
        return made

    return decorate(function) if function is not None else decorate
