"""What the workers under soak run: each attempt says when it starts and ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from errands import TaskContext, exponential, task
from tests.testapp.models import Account
from tests.torture.soak.ledger import note

MAX_ATTEMPTS = 4
SOON = exponential(first=0.1, cap=0.5)


class NoLuck(Exception):
    """What tasks raise on purpose."""


@contextmanager
def noted(context: TaskContext) -> Iterator[None]:
    """Note the start and the end of an attempt."""
    told = {"attempt": context.attempt, "token": context.token}
    name = context.task_result.id.replace("-", "")
    note("S", name, **told)
    try:
        yield
    except BaseException:
        note("R", name, **told)
        raise
    note("E", name, **told)


@task(takes_context=True, max_attempts=MAX_ATTEMPTS, backoff=SOON)
def work(context: TaskContext, seconds: float, fate: str) -> None:
    """Take a while; raise or die the first time if that is its fate."""
    with noted(context):
        time.sleep(seconds)
        if fate == "raise" and context.attempt == 1:
            raise NoLuck
        if fate == "die" and context.token == 1:
            note("X", context.task_result.id.replace("-", ""), token=context.token)
            os._exit(9)


@task(takes_context=True, max_attempts=MAX_ATTEMPTS, backoff=SOON, transactional=True)
def write(context: TaskContext, seconds: float, fate: str) -> None:
    """Write one row in the transaction that settles the task."""
    with noted(context):
        Account.objects.create(name=context.task_result.id.replace("-", ""))
        time.sleep(seconds)
        if fate == "raise" and context.attempt == 1:
            raise NoLuck


@task(
    takes_context=True,
    max_attempts=MAX_ATTEMPTS,
    backoff=SOON,
    concurrency=("soak:{key}", 2),
)
def share(context: TaskContext, seconds: float, key: int) -> None:
    """Run beside one other of its key at most."""
    with noted(context):
        time.sleep(seconds)
