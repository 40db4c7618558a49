"""One attempt at a task: arguments in, an outcome out. Knows no engine."""

import asyncio
import logging
from datetime import timedelta
from functools import partial
from math import isnan
from numbers import Number
from typing import Any

from django.db import DataError, Error, IntegrityError
from django.tasks import Task as DjangoTask
from django.tasks import TaskResult
from django.utils.json import normalize_json

from errands.exceptions import ReturnValueError, TaskCancelled, TaskInterrupted
from errands.tasks.carried import NOTHING, Carried, activated
from errands.tasks.context import TaskContext, attempting
from errands.tasks.forks import staying_in_this_process
from errands.tasks.groups import is_one_of
from errands.tasks.interrupting import REASONS, Reason, run_interruptible
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
MOST_BELOW = 100
PLAIN = TaskOptions()


def perform(
    task: DjangoTask,
    context: TaskContext,
    *,
    carried: Carried = NOTHING,
    max_attempts: int | None = None,
) -> Outcome:
    """Run the task once, among the caller's context variables, and judge what came.

    ``carried`` is what travelled with the call; ``max_attempts`` what it asked for,
    if not what the task says. Never raises: whatever the function raises,
    ``SystemExit`` and ``KeyboardInterrupt`` included, becomes an outcome.
    """
    task_result, control = context.task_result, context.control
    control.is_cooperative = is_cooperative(task)
    try:
        call = partial(task.call, *_arguments(task, context), **task_result.kwargs)
        with activated(carried), attempting(context), staying_in_this_process():
            return _succeeded(task, run_interruptible(control, call))
    except BaseException as raised:  # noqa: BLE001 - a task may raise anything
        exception = _interruption(raised) if control.asked else raised
        return judge(exception, task, task_result, max_attempts=max_attempts)


async def aperform(
    task: DjangoTask,
    context: TaskContext,
    *,
    carried: Carried = NOTHING,
    max_attempts: int | None = None,
) -> Outcome:
    """Await an async task once, as ``perform`` runs others.

    To be run as an asyncio task of its own: an interruption cancels that. Where
    the coroutine has returned before that arrived, what it returned counts.
    """
    task_result, control = context.task_result, context.control
    control.is_cooperative = is_cooperative(task)
    running, loop = asyncio.current_task(), asyncio.get_running_loop()

    def cancel(reason: Reason) -> None:
        if running is not None:
            loop.call_soon_threadsafe(running.cancel, reason.__name__)

    try:
        with activated(carried), attempting(context), staying_in_this_process():
            control.open(cancel)
            arguments = _arguments(task, context)
            value = await task.acall(*arguments, **task_result.kwargs)
            return _succeeded(task, value)
    except BaseException as exception:  # noqa: BLE001 - a task may raise anything
        if control.asked is not None and isinstance(exception, asyncio.CancelledError):
            exception = control.asked().with_traceback(exception.__traceback__)
        return judge(exception, task, task_result, max_attempts=max_attempts)
    finally:
        control.close()


def judge(
    exception: BaseException,
    task: DjangoTask,
    task_result: TaskResult,
    *,
    max_attempts: int | None = None,
) -> Outcome:
    """Decide what an exception means for the task; a group is what is in it."""
    if is_one_of(exception, TaskInterrupted):
        return Interrupted()
    error = AttemptError.of(exception)
    options = options_of(task)
    if is_one_of(exception, TaskCancelled):
        return Cancelled(error)
    if (end := end_at_once(exception, options)) is not None:
        return end(error)
    allowed = 1 if options.at_most_once else max_attempts or options.max_attempts
    if task_result.attempts >= allowed:
        return Failed(error)
    wait = _wait(options, exception, task_result)
    return Failed(error) if wait is None else Retry(wait, error)


def end_at_once(
    exception: BaseException, options: TaskOptions
) -> type[Discarded] | type[Failed] | None:
    """Return how an exception ends a task that has attempts left; None: it does not."""
    if is_one_of(exception, options.discard_on):
        return Discarded
    if is_one_of(exception, ReturnValueError):
        return Failed
    return None if is_one_of(exception, _retried(options)) else Failed


def is_cooperative(task: DjangoTask) -> bool:
    """Return whether its code asks by itself whether to end, at its checkpoints."""
    return bool(getattr(task, "is_cooperative", False))


def options_of(task: DjangoTask) -> TaskOptions:
    """Return a task's options; Django's own tasks have the defaults.

    ``OPTIONS["MAX_ATTEMPTS"]`` of the backend changes theirs.
    """
    if isinstance(task, Task):
        return task.options
    configured = task.get_backend().options.get("MAX_ATTEMPTS")
    return TaskOptions(max_attempts=configured) if configured else PLAIN


def _retried(options: TaskOptions) -> tuple[type[BaseException], ...]:
    """Return what is tried again; a coroutine cancelled from within is, as any."""
    if Exception not in options.retry_on:
        return options.retry_on
    return (*options.retry_on, asyncio.CancelledError)


def _interruption(raised: BaseException) -> BaseException:
    """Return what interrupted an attempt, where a broken connection hides it.

    A driver that is interrupted amid its protocol has lost its connection, and says
    so when the transaction around is left.
    """
    is_of_values = isinstance(raised, DataError | IntegrityError)
    below = raised.__context__ if isinstance(raised, Error) and not is_of_values else None
    for _ in range(MOST_BELOW):
        if below is None or isinstance(below, REASONS):
            break
        below = below.__context__
    return below if isinstance(below, REASONS) else raised


def _arguments(task: DjangoTask, context: TaskContext) -> tuple[Any, ...]:
    leading = (context,) if task.takes_context else ()
    return (*leading, *context.task_result.args)


def _succeeded(task: DjangoTask, value: Any) -> Outcome:
    """Return a success with its value as JSON, which what our tasks return is already.

    What cannot be, of a task of Django's, has failed for good: the work is done.
    """
    try:
        return Succeeded(value if isinstance(task, Task) else normalize_json(value))
    except Exception as error:  # noqa: BLE001 - of a value that is anything
        return Failed(AttemptError.of(error))


def _wait(
    options: TaskOptions, exception: BaseException, task_result: TaskResult
) -> timedelta | None:
    try:
        seconds = options.backoff(exception, task_result)
        if seconds is None:
            return None
        if not isinstance(seconds, Number) or isnan(seconds):
            raise TypeError(
                f"The back-off returned {seconds!r:.50}; it returns seconds as a number, "
                "or None."
            )
        longest = LONGEST_WAIT.total_seconds()
        return timedelta(seconds=min(max(0.0, float(seconds)), longest))
    except BaseException:
        # A broken back-off must not cost the task its attempts, nor us the worker.
        told = "backoff of task id=%s raised; the next attempt is in 60 s"
        logger.exception(told, task_result.id)
        return timedelta(seconds=60)
