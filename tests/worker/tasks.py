"""Tasks for attempts: slow, strict, and with every option."""

import asyncio
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission
from django.db import IntegrityError, InterfaceError, transaction
from django.utils import translation

from errands import (
    TaskCancelled,
    TaskContext,
    TaskInterrupted,
    current_context,
    exponential,
    task,
)
from tests.testapp.models import Account

SOON = timedelta(seconds=0.05)
AT_ONCE = exponential(first=0, cap=0)
LONG_SECONDS = 50.0

begun = threading.Event()
"""Set by the tasks below once they run."""
cancelled: list[str] = []


def spin(seconds: float = LONG_SECONDS) -> str:
    """Compute for so long, in lines of Python."""
    begun.set()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "undisturbed"


@task(timeout=SOON, backoff=AT_ONCE)
def overrun() -> str:
    """Take longer than the timeout."""
    return spin()


@task(timeout=SOON, backoff=AT_ONCE)
async def aoverrun() -> None:
    """Take longer than the timeout, as a coroutine."""
    await asyncio.sleep(LONG_SECONDS)


@task(timeout=10 * SOON, max_attempts=1)
async def aleave_open() -> str:
    """Return inside a transaction, whatever it is told."""

    def write() -> None:
        transaction.atomic().__enter__()
        Account.objects.create(name="Anna")

    await sync_to_async(write)()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(LONG_SECONDS)
    return "written"


@task(timeout=SOON, backoff=AT_ONCE)
def lose_the_connection() -> None:
    """Be interrupted as a driver that then says that its connection is lost."""
    try:
        try:
            spin()
        finally:
            raise InterfaceError("(0, '')")
    finally:
        raise InterfaceError("connection already closed")


@task(timeout=SOON, backoff=AT_ONCE)
def clean_up_twice() -> None:
    """Store at the end what is there already."""
    try:
        spin()
    finally:
        raise IntegrityError("it is there")


@task(timeout=SOON)
def swallow() -> str:
    """Take any exception for one of its own."""
    try:
        spin()
    except Exception:  # noqa: BLE001 - as tasks do
        return "swallowed"
    return "undisturbed"


@task(timeout=timedelta(minutes=1))
def in_time() -> list[Any]:
    """Return at once."""
    return []


@task
def wait_for_cancel() -> str:
    """Run until somebody cancels it; no exception of ours is swallowed."""
    while True:
        try:
            spin()
        except Exception:  # noqa: BLE001 - as tasks do
            cancelled.append("swallowed")


@task
async def await_cancel() -> None:
    """Await until somebody cancels it."""
    begun.set()
    try:
        await asyncio.sleep(LONG_SECONDS)
    finally:
        cancelled.append("cleaned up")


@task
async def await_cancel_in_thread() -> None:
    """Await what a thread does until somebody cancels it."""
    begun.set()
    await sync_to_async(time.sleep, thread_sensitive=False)(0.5)


@task
def wait_in_c() -> str:
    """Sleep where no exception arrives, and go on."""
    begun.set()
    time.sleep(0.2)
    return spin()


@task(at_most_once=True)
def never_twice(message: str = "") -> str:
    """Raise, if there is a message, and return otherwise."""
    if message:
        raise ValueError(message)
    return "done"


@task(at_most_once=True)
def never_twice_interrupted() -> None:
    """Be told to stop."""
    raise TaskInterrupted


@task
def cancels_itself() -> None:
    """Be cancelled."""
    raise TaskCancelled


@task(transactional=True, backoff=AT_ONCE)
def write(name: str, message: str = "") -> int:
    """Write in the queue's transaction, and then raise if there is a message."""
    pk: int = Account.objects.create(name=name).pk
    if message:
        raise ValueError(message)
    return pk


@task(transactional=True, backoff=AT_ONCE)
def write_too_much(name: str) -> str:
    """Write, and return what no queue stores."""
    Account.objects.create(name=name)
    return "x" * 2_000_000


@task(transactional=True, backoff=AT_ONCE)
def violate(name: str) -> None:
    """Write what the database refuses when it is committed."""
    Account.objects.create(name=name)
    Permission.objects.create(content_type_id=999_999, name=name, codename=name)


@task(transactional=True, backoff=AT_ONCE)
def swallow_violation(name: str) -> str:
    """Break the transaction, and behave as if nothing had happened."""
    Account.objects.create(name=name)
    try:
        with transaction.atomic(savepoint=False):
            raise IntegrityError("swallowed")
    except IntegrityError:
        return "done"


@task(transactional=True, backoff=AT_ONCE)
def leave_open(name: str) -> None:
    """Return inside an inner transaction."""
    transaction.atomic().__enter__()
    Account.objects.create(name=name)


@task(transactional=True, takes_context=True)
def write_and_save(context: TaskContext, name: str) -> None:
    """Write a record and metadata, and raise."""
    Account.objects.create(name=name)
    context.metadata["tried"] = context.metadata.get("tried", 0) + 1
    context.save_metadata()
    raise ValueError(name)


@task(transactional=True)
def write_and_hook(name: str, kind: str) -> None:
    """Write, and raise once that is committed."""
    kinds = {each.__name__: each for each in (ValueError, SystemExit, IntegrityError)}

    def stumble() -> None:
        raise kinds[kind]("a stone")

    Account.objects.create(name=name)
    transaction.on_commit(stumble)


@task(rate=("partner", "1/h"))
def call_partner() -> None:
    """Start once an hour."""


@task(
    max_attempts=1,
    keep={"succeeded": timedelta(hours=1), "failed": timedelta(days=90)},
)
def kept(message: str = "") -> None:
    """Raise, if there is a message."""
    if message:
        raise ValueError(message)


@task(max_attempts=1, keep={"succeeded": timedelta(), "failed": timedelta(days=90)})
def return_much() -> str:
    """Return more than is stored."""
    return "x" * 2_000_000


@task(takes_context=True, max_attempts=2, backoff=AT_ONCE)
def annotate(context: TaskContext, message: str = "") -> None:
    """Write into the metadata; then raise, if there is a message."""
    context.metadata.setdefault("attempts", []).append(context.attempt)
    if message:
        raise ValueError(message)


@task(takes_context=True)
def spoil_metadata(context: TaskContext) -> str:
    """Leave metadata that nobody can store."""
    context.metadata["self"] = context.metadata
    return "done"


class Angry(dict[str, Any]):
    """Refuse to be read, as rudely as can be."""

    def items(self) -> Any:
        """Raise."""
        raise SystemExit


@task(takes_context=True)
def spoil_metadata_rudely(context: TaskContext) -> str:
    """Leave metadata that ends who reads it."""
    context.metadata["angry"] = Angry(a=1)
    return "done"


@task(takes_context=True)
def save_metadata(context: TaskContext) -> None:
    """Store the metadata in the middle."""
    context.metadata["halfway"] = True
    context.save_metadata()


@task(takes_context=True)
def save_metadata_on_the_way(context: TaskContext) -> None:
    """Store other metadata in the middle than in the end."""
    before = dict(context.metadata)
    context.metadata["halfway"] = True
    context.save_metadata()
    context.metadata.update(before)


@task(retry_on=(OSError,), backoff=AT_ONCE)
def retry_outages(kind: str) -> None:
    """Raise what is tried again, or what is not."""
    raise {"OSError": OSError, "TimeoutError": TimeoutError}.get(kind, ValueError)


@task(
    backoff={
        TimeoutError: lambda exception, task_result: 7,
        OSError: lambda exception, task_result: None,
        ValueError: exponential(first=3, cap=3, jitter=0),
    },
    max_attempts=5,
)
def back_off(kind: str) -> None:
    """Raise."""
    kinds = {"OSError": OSError, "TimeoutError": TimeoutError, "ValueError": ValueError}
    raise kinds.get(kind, KeyError)


@task
async def speak() -> list[str | None]:
    """Return what a coroutine finds around it, before and after the others ran."""
    before = translation.get_language()
    translation.activate("fr" if before == "de" else "it")
    context = current_context()
    assert context is not None
    await asyncio.sleep(0.05)
    again = current_context()
    return [before, translation.get_language(), str(again is context)]


@task
async def meet(everybody: int) -> int:
    """Return once so many coroutines are here at the same time."""
    present.append(everybody)
    while len(present) < everybody:  # noqa: ASYNC110 - of another loop each time
        await asyncio.sleep(0.01)
    return len(present)


present: list[int] = []


@task
async def leave_behind() -> str:
    """Start what nobody awaits."""

    async def go_on_for_ever() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append("left behind")

    behind.add(asyncio.create_task(go_on_for_ever()))
    await asyncio.sleep(0)
    return "done"


behind: set["asyncio.Task[None]"] = set()


@task(max_attempts=1)
async def exit_in_child() -> None:
    """Await a child that tries to end the process."""

    async def leave() -> None:
        raise SystemExit(3)

    await asyncio.create_task(leave())


@task(max_attempts=1)
async def exit_in_forgotten_child() -> str:
    """Start a child that tries to end the process, and await something else."""

    async def leave() -> None:
        raise KeyboardInterrupt

    behind.add(asyncio.create_task(leave()))
    await asyncio.sleep(0.01)
    return "done"


@task(max_attempts=1)
async def refuse_contexts() -> None:
    """Let the loop make asyncio tasks as of old: without a context of their own."""
    asyncio.get_running_loop().set_task_factory(
        lambda loop, work: asyncio.Task(work, loop=loop)
    )


@task
async def leave_a_stubborn_one() -> str:
    """Start what refuses to be cancelled."""

    async def refuse() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append("refused")

    behind.add(asyncio.create_task(refuse()))
    await asyncio.sleep(0)
    return "done"


@task(max_attempts=1)
async def cancel_everybody() -> None:
    """Cancel all that runs on the loop."""
    for each in asyncio.all_tasks():
        each.cancel()
    await asyncio.sleep(0)


def _refuse() -> None:
    raise RuntimeError("Event loop is closed")


@task(max_attempts=1)
async def break_the_loop() -> None:
    """Leave the loop such that it never runs again."""
    loop = asyncio.get_running_loop()
    loop.run_forever = _refuse  # type: ignore[method-assign]
    loop.stop()


@task(max_attempts=1)
async def stop_loop() -> str:
    """Stop the loop that runs this."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "done"


@task
async def hold(value: int) -> int:
    """Wait until the test lets go."""
    begun.set()
    while not released.is_set():  # noqa: ASYNC110 - set by another thread
        await asyncio.sleep(0.01)
    return value


released = threading.Event()


@task(backoff=AT_ONCE)
def add_slowly() -> None:
    """Compute for a tenth of a second."""
    spin(0.1)


trace: ContextVar[str] = ContextVar("trace", default="")


@task
async def traced() -> str:
    """Return what a receiver of its start has noted."""
    await asyncio.sleep(0)
    return trace.get()
