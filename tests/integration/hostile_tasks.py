"""Tasks that do to a worker what tasks must never do."""

import asyncio
import ctypes
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.dispatch import receiver
from django.tasks import TaskResult
from django.tasks.signals import task_finished, task_started
from django.utils import translation

from errands import TaskContext, TaskInterrupted, task
from tests.testapp.models import Account

GLANCE_SECONDS = 0.01
LONG_ENOUGH_TO_SAY_SO = timedelta(seconds=2)


@task(max_attempts=1)
def hold(directory: str) -> int:
    """Say who runs this, and wait for a file named ``go``."""
    Path(directory, "started").write_text(str(os.getpid()))
    while not Path(directory, "go").exists():
        time.sleep(GLANCE_SECONDS)
    return os.getpid()


@task(max_attempts=1, takes_context=True)
def hold_politely(context: TaskContext, directory: str) -> int:
    """Like ``hold``, with a checkpoint at each glance."""
    Path(directory, "started").write_text(str(os.getpid()))
    while not Path(directory, "go").exists():
        if context.should_stop:
            raise TaskInterrupted
        time.sleep(GLANCE_SECONDS)
    return os.getpid()


@task(max_attempts=1, takes_context=True)
def hold_when_told_to_stop(context: TaskContext, directory: str) -> int:
    """Like ``hold``, and say by a file named ``told`` that it should stop."""
    Path(directory, "started").write_text(str(os.getpid()))
    while not Path(directory, "go").exists():
        if context.should_stop:
            Path(directory, "told").touch()
        time.sleep(GLANCE_SECONDS)
    return os.getpid()


@task(max_attempts=1)
def use_every_standard_stream() -> None:
    """Write, and let a process do it that has our standard streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.write("said\n")
        stream.flush()
    say = "read nothing; echo said && echo said >&2"
    # Not by their numbers: a library that was loaded before us may have got these.
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}
    subprocess.run(["sh", "-c", say], check=True, **streams)


@task
def exit_process(code: int = 3) -> None:
    """End the process without a word."""
    os._exit(code)


@task
def stop_process() -> int:
    """Send SIGTERM to the process."""
    os.kill(os.getpid(), signal.SIGTERM)
    return os.getpid()


@task
def crash_process() -> None:
    """Read what is not there."""
    ctypes.string_at(0)


@task
def kill_process() -> None:
    """Do what the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@task
def fork_and_return(directory: str) -> int:
    """Let a fork come back from this function, as its parent does."""
    forked = os.fork()
    if forked == 0:
        return 0
    _, status = os.waitpid(forked, 0)
    Path(directory, "status").write_text(str(os.waitstatus_to_exitcode(status)))
    return forked


def _sleep_for_ever(begun: Event) -> None:
    begun.set()
    time.sleep(3600)


@task(max_attempts=1)
def terminate_fork() -> int | None:
    """End a forked process as ``multiprocessing`` ends those of a pool."""
    forking = multiprocessing.get_context("fork")
    begun = forking.Event()
    process = forking.Process(target=_sleep_for_ever, args=[begun], daemon=True)
    process.start()
    begun.wait()
    process.terminate()
    process.join(60)
    code = process.exitcode
    process.kill()
    return code


_pools: list[ProcessPoolExecutor] = []


@task(max_attempts=1)
def keep_a_pool() -> int:
    """Start a process in a pool that is kept for later."""
    forking = multiprocessing.get_context("fork")
    _pools.append(ProcessPoolExecutor(1, mp_context=forking))
    return _pools[-1].submit(os.getpid).result(60)


@task(max_attempts=1)
def leave_transaction_open() -> None:
    """Write in a transaction that nobody will end."""
    transaction.atomic().__enter__()
    Account.objects.create(name="never committed")


@task
def leave_language_behind() -> None:
    """Activate a language and forget about it."""
    translation.activate("de")


@task
def speak_to_nobody(value: str) -> str:
    """Return the argument; whoever is told of it raises."""
    return value


@receiver([task_started, task_finished])
def refuse_to_listen(sender: type, task_result: TaskResult, **kwargs: object) -> None:
    """Break every announcement of one task."""
    if task_result.task.name == "speak_to_nobody":
        raise RuntimeError("a receiver that raises")


@task(max_attempts=1)
def hold_beside_others(directory: str, name: str) -> str:
    """Say by a file of whose process and when this runs, and wait for ``go``."""
    place = Path(directory, f"{name}.{os.getpid()}.{time.monotonic_ns()}")
    place.touch()
    while not Path(directory, "go").exists():
        time.sleep(GLANCE_SECONDS)
    place.rename(f"{place}.{time.monotonic_ns()}")
    return name


@task(max_attempts=1)
def whose_process() -> int:
    """Return the process that runs this."""
    return os.getpid()


@task(max_attempts=1, timeout=LONG_ENOUGH_TO_SAY_SO)
def hold_the_interpreter(directory: str) -> None:
    """Compute what no exception interrupts, for about an hour."""
    Path(directory, "started").write_text(str(os.getpid()))
    re.match("(a+)+$", "a" * 40 + "b")


@task(max_attempts=1)
def hold_the_interpreter_for_ever(directory: str) -> None:
    """Compute what no exception interrupts, and nobody has given it a time."""
    Path(directory, "started").write_text(str(os.getpid()))
    re.match("(a+)+$", "a" * 40 + "b")


@task(max_attempts=1)
def leave_autocommit_off() -> None:
    """Write, and commit never again."""
    transaction.set_autocommit(False)
    Account.objects.create(name="never committed")


@task(max_attempts=1)
def return_too_much() -> str:
    """Return 20 MB."""
    return "x" * 20_000_000


class Unprintable(Exception):
    """Raises when somebody asks what it says."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@task(max_attempts=1)
def raise_unprintable() -> None:
    """Raise what cannot be told."""
    raise Unprintable


class Unclassifiable(Exception):
    """Raises when somebody asks what it is, and so does whoever shows it."""

    @property
    def __class__(self) -> type[Exception]:
        raise RuntimeError("no class")

    @__class__.setter
    def __class__(self, kind: type[Exception]) -> None:
        raise RuntimeError("no class")


@task(max_attempts=1)
def raise_unclassifiable() -> None:
    """Raise what can neither be judged nor logged."""
    raise Unclassifiable


class Untouchable(Exception):
    """Ends the process of whoever looks at it."""

    def __getattribute__(self, name: str) -> object:
        raise SystemExit(3)


@task(max_attempts=1)
async def raise_untouchable() -> None:
    """Raise what nobody can look at."""
    raise Untouchable


@task(max_attempts=1)
async def refuse_contexts() -> None:
    """Let the loop make asyncio tasks as of old: without a context of their own."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, work: asyncio.Task(work, loop=loop))


@task(max_attempts=1)
def replace_connection() -> None:
    """Put what is no connection in the place of this thread's."""
    connection.ensure_connection()
    connection.connection.close()
    connection.connection = object()


@task(max_attempts=1)
def end_the_heartbeat() -> None:
    """Raise what ends it in the thread that keeps the lease alive."""
    for thread in threading.enumerate():
        if thread.name == "errands-heartbeat":
            number, ending = ctypes.c_ulong(thread.ident or 0), SystemExit
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(ending))


class HangingHandler(logging.Handler):
    """Is never done with what it has been told."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take it."""

    def flush(self) -> None:
        """Wait for somebody who is gone."""
        time.sleep(3600)


@task(max_attempts=1)
def hang_the_log() -> int:
    """Let nobody flush the log any more."""
    logging.getLogger().addHandler(HangingHandler())
    return os.getpid()


class StuckHandler(logging.Handler):
    """Waits for somebody who does not read."""

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(3600)


@task(max_attempts=1)
def hold_in_spite_of_all(directory: str) -> None:
    """Go on for ever, in a process that hangs where it would log that."""
    logging.getLogger("errands.worker").addHandler(StuckHandler())
    Path(directory, "started").write_text(str(os.getpid()))
    while True:
        time.sleep(GLANCE_SECONDS)


class RefusingHandler(logging.Handler):
    """Takes no record."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("no log")


@task(max_attempts=1)
def break_the_log() -> None:
    """Let every line that is logged from now on raise."""
    logging.getLogger().addHandler(RefusingHandler())
    sys.stderr.close()


@task(max_attempts=1, takes_context=True)
def speak_in_nul(context: TaskContext, text: str, *, is_raised: bool) -> str:
    """Put a text that no database stores wherever a text can be put."""
    context.metadata[text] = text
    context.save_metadata()
    if is_raised:
        raise type(text, (ValueError,), {})(text)
    return text


@task(max_attempts=1)
def greet(*, name: str) -> str:
    """Return a greeting; the argument was called otherwise once."""
    return f"Hello {name}"


@task(max_attempts=1, timeout=LONG_ENOUGH_TO_SAY_SO)
def go_on_for_ever(directory: str) -> None:
    """Compute in Python for ever."""
    Path(directory, "started").write_text(str(os.getpid()))
    while True:
        pass


@task(max_attempts=1)
def go_on_until_cancelled(directory: str) -> None:
    """Compute in Python for ever, with no timeout."""
    Path(directory, "started").write_text(str(os.getpid()))
    while True:
        pass


@task(max_attempts=1, timeout=timedelta(seconds=0.2))
async def block_the_loop() -> None:
    """Wait on the event loop's thread for an hour."""
    time.sleep(3600)  # noqa: ASYNC251 - that is what it is about


@task(max_attempts=1, timeout=timedelta(seconds=0.2))
async def block_the_thread_of_coroutines() -> None:
    """Wait for an hour in the only thread that coroutines have for the database."""
    await sync_to_async(time.sleep)(3600)


@task(max_attempts=1)
async def await_go(directory: str) -> int:
    """Say who runs this, and await a file named ``go``."""
    Path(directory, "started").write_text(str(os.getpid()))  # noqa: ASYNC240
    while not Path(directory, "go").exists():  # noqa: ASYNC110, ASYNC240 - a glance
        await asyncio.sleep(GLANCE_SECONDS)
    return os.getpid()


@task
def filters_of_logs() -> list[str]:
    """Name what the handlers of Django's log let through."""
    filters: list[object] = []
    for handler in logging.getLogger("django").handlers:
        filters += handler.filters
    return [getattr(each, "__name__", "") for each in filters]


@task(max_attempts=1)
def leave_files_open() -> None:
    """Open files until the system has no more for this process, and forget them."""
    with suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)
