"""Tasks the tests enqueue and workers run."""

import asyncio
import logging
import os
import signal
import time
from typing import Any

import django.tasks

from errands import JobError, TaskContext, exponential, task
from errands.exceptions import RecordGone
from tests.testapp.models import Account

logger = logging.getLogger("tests.testapp")


@task
def nothing() -> None:
    """Return at once."""


@task
def nap() -> None:
    """Take 30 ms: too long to be claimed ahead."""
    time.sleep(0.03)


@task
def add(left: int, right: int = 1) -> int:
    """Return the sum."""
    return left + right


@task
def describe(account: Account, *, greeting: str = "") -> str:
    """Name an account."""
    return f"{greeting}{account.name}"


@task
def collect(account: int, **others: object) -> None:
    """Take whatever there is."""


@task
def rename(account: Account, *, name: str) -> None:
    """Write one row."""
    Account.objects.filter(pk=account.pk).update(name=name)


@task
def echo(value: Any) -> Any:
    """Return the argument."""
    return value


@task(max_attempts=3, backoff=exponential(first=0, cap=0))
def fail(message: str = "no luck") -> None:
    """Raise, each time."""
    raise ValueError(message)


@task(max_attempts=1)
def fail_once(message: str = "no luck") -> None:
    """Raise; there is one attempt."""
    raise ValueError(message)


@task(discard_on=(RecordGone, JobError))
def discard() -> None:
    """Raise what is discarded."""
    raise JobError("not worth another try")


@task(discard_on=(LookupError,))
def discard_all() -> None:
    """Raise several of what is discarded."""
    raise ExceptionGroup("none is worth another try", [KeyError(), IndexError()])


@task
def leave() -> None:
    """Try to end the worker."""
    raise SystemExit(3)


@task
def interrupt_from_keyboard() -> None:
    """Try to end the worker as Ctrl-C does."""
    raise KeyboardInterrupt


@task
def be_interrupted() -> None:
    """Run while somebody presses Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


@task
async def await_an_interruption(note: str) -> None:
    """Run on a loop while somebody presses Ctrl-C, and note how far that came."""
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(5)
    finally:
        await Account.objects.acreate(name=note)


@task(takes_context=True)
def attempt_of(context: TaskContext, offset: int = 0) -> list[Any]:
    """Return what the context says."""
    return [context.attempt + offset, context.task_result.id, context.token]


@task
def language_and_zone() -> list[str]:
    """Return the language and time zone that are active."""
    from django.utils import timezone, translation

    return [translation.get_language() or "", timezone.get_current_timezone_name()]


@task(backoff={OSError: lambda error, result: 60})
def patient() -> None:
    """Wait a minute after an error of the system."""


@task(queue_name="mail", priority=7)
async def think(value: int) -> int:
    """Return the argument, as a coroutine."""
    return value


@task
async def name_of(account: Account) -> str:
    """Name an account, as a coroutine."""
    return account.name


@django.tasks.task
def plain(value: Any = None) -> Any:
    """Return the argument; a task of Django's own."""
    return value


@django.tasks.task
def plain_failure() -> None:
    """Raise; a task of Django's own."""
    raise ValueError("plain")


def _echo(value: Any = None) -> Any:
    return value


under_another_name = django.tasks.task(_echo)


def never_registered() -> None:
    """Stand in for code that has been removed."""


@task(max_attempts=5)
def connected() -> int:
    """Return the server's number of the thread's connection."""
    from tests.worker import cutting

    return cutting.number()


@task(max_attempts=5)
async def connected_as_coroutine() -> int:
    """Return the server's number of the connection of coroutines."""
    from asgiref.sync import sync_to_async

    from tests.worker import cutting

    return await sync_to_async(cutting.number)()


@task(max_attempts=3)
def return_nonsense() -> object:
    """Return what is no value."""
    return object()
