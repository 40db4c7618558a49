"""Tasks and jobs that tests of tests run."""

import os
import signal
import time
from datetime import timedelta

import django.tasks
from django.db import Error, IntegrityError, connection, transaction
from django.utils import timezone

from errands import (
    Download,
    Job,
    JobError,
    RecordGone,
    TaskInterrupted,
    current_context,
    exponential,
    task,
)
from errands.queue.store import Store
from tests.testapp.models import Account

heard: list[object] = []


@task
def note(value: object = None) -> object:
    """Remember the argument."""
    heard.append(value)
    return value


@task
def add(left: int, right: int = 1) -> int:
    """Return the sum."""
    return left + right


@task
def greet(account: Account, *, words: str = "hello") -> str:
    """Greet an account."""
    return f"{words} {account.name}"


@task
async def think(name: str) -> int:
    """Write an account from async code; return how many there are."""
    await Account.objects.acreate(name=name)
    return await Account.objects.acount()


@django.tasks.task
def plain(value: object = None) -> object:
    """Return the argument; a task of Django's own."""
    return value


@task(max_attempts=3, backoff=exponential(first=60, cap=60, jitter=0))
def fail_until(attempt: int = 99) -> int:
    """Raise before that attempt."""
    context = current_context()
    assert context is not None
    heard.append(context.attempt)
    if context.attempt < attempt:
        raise ValueError(f"no luck at {timezone.now():%H:%M}")
    return context.attempt


@task(discard_on=(RecordGone, JobError))
def discard() -> None:
    """Raise what is discarded."""
    raise JobError("not worth another try")


@task
def leave() -> None:
    """Try to end the process."""
    raise SystemExit(3)


@task
def note_all(*args: object, **kwargs: object) -> None:
    """Take whatever it is given."""


@task
def note_on_commit(name: str) -> None:
    """Write a name when its transaction has committed."""
    transaction.on_commit(lambda: Account.objects.create(name=name))


@task
def press_ctrl_c() -> None:
    """Be interrupted from the keyboard."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


@task
def count_down(number: int) -> None:
    """Enqueue itself until there is nothing left to count."""
    if number:
        count_down.enqueue(number - 1)


@task
def go_on() -> None:
    """Enqueue the other one."""
    and_on.enqueue()


@task
def and_on() -> None:
    """Enqueue the other one."""
    go_on.enqueue()


@task(max_attempts=1)
def break_transaction(name: str) -> None:
    """Write an account, then another one with its key."""
    account = Account.objects.create(name=name)
    Account.objects.create(pk=account.pk, name="twin")


@task(max_attempts=1)
def write_tell_and_break(name: str) -> None:
    """Leave something to a commit, then break the transaction of a test."""
    write_and_tell.func(name)
    break_transaction.func(name)


@task
def pause_mail() -> None:
    """Pause a queue."""
    Store("default").pause("mail")


@task
def catch_broken_statement() -> str:
    """Go on after an error, as one can in autocommit."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")
    except Error:
        return "caught"
    raise AssertionError


@task
def write_and_tell(name: str) -> None:
    """Note a value when the write is committed."""
    with transaction.atomic():
        Account.objects.create(name=name)
        transaction.on_commit(lambda: heard.append(name))


@task
def roll_back_and_tell(name: str) -> None:
    """Note a value when a write is committed, which it never is."""
    try:
        with transaction.atomic():
            transaction.on_commit(lambda: heard.append(name))
            raise IntegrityError
    except IntegrityError:
        return


@task
def leave_open(name: str) -> None:
    """Return inside a transaction."""
    transaction.atomic().__enter__()
    Account.objects.create(name=name)


@task
def enqueue_note(value: object) -> None:
    """Enqueue one, and remember that it has not run yet."""
    note.enqueue(value)
    heard.append("enqueued")


@task
def enqueue_note_on_commit(value: object) -> None:
    """Enqueue one once this has been committed."""
    with transaction.atomic():
        note.enqueue_on_commit(value)


@task(rate=("partner", "2/h"))
def call_partner(number: int) -> None:
    """Remember the argument, twice an hour."""
    heard.append(number)


@task(concurrency=("printer", 1))
def print_page(number: int) -> None:
    """Remember the argument, one at a time."""
    heard.append(number)


@task(unique=True)
def only_once(number: int) -> None:
    """Remember the argument."""
    heard.append(number)


@task(at_most_once=True)
def mail_everybody(fail: bool = False) -> None:
    """Remember that it ran, once."""
    heard.append("mailed")
    if fail:
        raise ValueError("the server said no")


@task(transactional=True)
def book(name: str) -> None:
    """Write an account in the transaction that settles it."""
    Account.objects.create(name=name)


@task
def give_back(times: int) -> None:
    """Give itself back, as a stopping worker makes it, until it has run so often."""
    heard.append("ran")
    if len(heard) < times:
        raise TaskInterrupted


@task
def tell_the_time() -> str:
    """Return what time it is."""
    return timezone.now().isoformat()


class Listing(Job):
    """Write a name into a file."""

    title = "Listing"

    def perform(self, name: str, *, times: int = 1) -> Download:
        """Write."""
        with self.results.open("names.txt", "w") as file:
            for _ in self.track(range(times)):
                file.write(f"{name}\n")
        return Download("names.txt")


LATER = timedelta(hours=1)


@task
def gather(*numbers: object, **named: object) -> None:
    """Take whatever there is."""


@task
def name(who: str, /, **named: object) -> None:
    """Take an argument, and another one of the same name."""
