"""A worker for ``runserver``, so that a checkout needs one command to run.

The process that serves (not the reloader that watches files) starts ``worker
--lifeline`` as its child. When it ends, by Ctrl-C, reload or crash, the pipe
ends and the worker stops; the next serving process starts the next worker.
Nothing is lost in between: the queue is a table.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured
from django.utils.autoreload import autoreload_started

from errands.conf import settings
from errands.queue.backend import backends
from errands.tasks.registry import registry
from errands.worker.supervising.spawning import spawn_python

# The pipe to a worker ends when its Popen is collected.
_workers: list[subprocess.Popen[bytes]] = []


def start_with_runserver() -> None:
    """Start a worker if this process is about to serve as ``runserver``.

    ``ERRANDS["RUNSERVER_WORKER"] = False`` turns it off.
    """
    if not serves(sys.argv, os.environ):
        return
    try:
        wanted = settings().runserver_worker
    except ImproperlyConfigured:
        return  # The system checks of runserver say what is wrong.
    if wanted:
        _start_workers()


def _start_workers() -> None:
    autoreload_started.connect(_watch_tasks, dispatch_uid="errands.worker.development")
    for backend in backends():
        worker = spawn_python(
            "-m", "django", "worker", "--lifeline", "--backend", backend.alias
        )
        _workers.append(worker)
        sys.stdout.write(
            f"errands: started a worker for TASKS[{backend.alias!r}] as process "
            f"{worker.pid}; ERRANDS['RUNSERVER_WORKER'] = False turns this off.\n"
        )


def _watch_tasks(**kwargs: object) -> None:
    """Let a change of a task restart server and worker.

    The reloader watches what is imported, and the site itself may import none
    of the modules its tasks are in. One that cannot be imported yet is told of by
    the worker; here it must not end the reloader, which waits for its change.
    """
    with suppress(Exception):
        registry.load()


def serves(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a command line is a ``runserver`` that will itself serve."""
    if list(arguments[1:2]) != ["runserver"]:
        return False
    return environment.get("RUN_MAIN") == "true" or "--noreload" in arguments
