"""One attempt at a task: arguments in, an outcome out. Knows no engine."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from django.tasks import Task as DjangoTask
from django.tasks import TaskResult
from django.utils.json import normalize_json

from errands.exceptions import TaskCancelled, TaskInterrupted
from errands.tasks.carried import activated
from errands.tasks.context import Control, TaskContext, attempting
from errands.tasks.forks import staying_in_this_process
from errands.tasks.options import TaskOptions
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Succeeded,
)
from errands.tasks.task import Task

logger = logging.getLogger("errands.tasks")

LONGEST_WAIT = timedelta(days=3650)


def perform(  # noqa: PLR0913 - what an engine knows about an attempt
    task: DjangoTask,
    task_result: TaskResult,
    *,
    token: int = 0,
    carried: Mapping[str, str] | None = None,
    control: Control | None = None,
    max_attempts: int | None = None,
) -> Outcome:
    """Run the task once, in the caller's context, and judge what came of it.

    Never raises: whatever the function raises, ``SystemExit`` and
    ``KeyboardInterrupt`` included, becomes an outcome. ``max_attempts`` is
    what the call asked for, if not what the task says.
    """
    context = TaskContext(
        task_result=task_result, token=token, control=control or Control()
    )
    try:
        with ExitStack() as stack:
            stack.enter_context(attempting(context))
            stack.enter_context(activated(carried or {}))
            stack.enter_context(staying_in_this_process())
            return Succeeded(_returned(task, context))
    except BaseException as exception:  # noqa: BLE001 - a task may raise anything
        return judge(exception, task, task_result, max_attempts=max_attempts)


def judge(
    exception: BaseException,
    task: DjangoTask,
    task_result: TaskResult,
    *,
    max_attempts: int | None = None,
) -> Outcome:
    """Decide what an exception means for the task."""
    if isinstance(exception, TaskInterrupted):
        return Interrupted()
    error = AttemptError.of(exception)
    options = options_of(task)
    if isinstance(exception, TaskCancelled):
        return Cancelled(error)
    if isinstance(exception, options.discard_on):
        return Discarded(error)
    if not isinstance(exception, Exception):
        return Failed(error)
    if task_result.attempts >= (max_attempts or options.max_attempts):
        return Failed(error)
    wait = _wait(options, exception, task_result)
    return Failed(error) if wait is None else Retry(wait, error)


def options_of(task: DjangoTask) -> TaskOptions:
    """Return a task's options; Django's own tasks have the defaults.

    ``OPTIONS["MAX_ATTEMPTS"]`` of the backend changes theirs.
    """
    if isinstance(task, Task):
        return task.options
    configured = task.get_backend().options.get("MAX_ATTEMPTS")
    return TaskOptions(max_attempts=configured) if configured else TaskOptions()


def _returned(task: DjangoTask, context: TaskContext) -> Any:
    leading = (context,) if task.takes_context else ()
    result = context.task_result
    value = task.call(*leading, *result.args, **result.kwargs)
    return value if isinstance(task, Task) else normalize_json(value)


def _wait(
    options: TaskOptions, exception: Exception, task_result: TaskResult
) -> timedelta | None:
    try:
        seconds = options.backoff(exception, task_result)
        if seconds is None:
            return None
        longest = LONGEST_WAIT.total_seconds()
        return timedelta(seconds=min(max(0.0, seconds), longest))
    except Exception:
        # A broken back-off must not cost the task its attempts.
        logger.exception("backoff of task id=%s raised", task_result.id)
        return timedelta(seconds=60)
