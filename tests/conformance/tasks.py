"""Tasks made with nothing but ``django.tasks``."""

import asyncio
import sys

from django.tasks import TaskContext, task


@task
def noop_task(*args: object, **kwargs: object) -> None:
    """Return nothing."""


@task
async def noop_task_async(*args: object) -> None:
    """Return nothing, later."""
    await asyncio.sleep(0)


@task
def calculate_meaning_of_life() -> int:
    """Return the answer."""
    return 42


@task
def failing_task_value_error() -> None:
    """Raise."""
    raise ValueError("This Task failed due to ValueError")


@task
def failing_task_system_exit() -> None:
    """Try to exit."""
    sys.exit("This Task failed due to SystemExit")


@task
def complex_exception() -> None:
    """Raise what JSON cannot hold."""
    raise ValueError(ValueError("This task failed"), object())


@task
def complex_return_value() -> object:
    """Return what JSON cannot hold."""
    return lambda: True


@task(takes_context=True)
def get_task_id(context: TaskContext) -> str:
    """Return the result's id."""
    return context.task_result.id


@task(takes_context=True)
def attempt_number(context: TaskContext, attempt: int | None = None) -> int | None:
    """Return the attempt from the context, or the argument."""
    return attempt or context.attempt


@task
def mutate(values: list[int]) -> list[int]:
    """Change the argument."""
    values.append(99)
    return values
