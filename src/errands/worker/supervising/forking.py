"""Children that need not load the site again: copies of the supervisor.

::

    Linux, one thread, ERRANDS["FORK"]  ──► a copy: begins to work at once
    anything else                       ──► a new interpreter (spawning.py)

A copy has the thread that called ``fork`` and no other; a lock another one
held would stay locked for ever. So nothing is copied while there is another
thread, were it one of a library in C. Connections to databases are closed
before, and a copy closes the lifelines of its siblings.
"""

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from django.db import connections

from errands.conf import settings
from errands.sidecar import close_sidecars
from errands.streams import flush
from errands.tasks.registry import registry
from errands.worker.outage import close_connections
from errands.worker.stopping import hangups
from errands.worker.supervising.lifeline import close_lifelines

THREADS = Path("/proc/self/task")
GLANCES = (0.0, 0.001, 0.01, 0.05)
UNKNOWN_CODE = 255
OURS = (signal.SIGINT, signal.SIGTERM)


class Copy:
    """A child that is a copy of this process; as much of a ``Popen`` as we need."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else has asked how it ended.
                self.returncode = UNKNOWN_CODE
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def kill(self) -> None:
        """End it without asking."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def may_fork() -> bool:
    """Return whether a copy of this process would be a sound one."""
    if sys.platform != "linux" or not settings().fork:
        return False
    with suppress(OSError):
        return any(_is_alone(after=pause) for pause in GLANCES)
    return False


def preload() -> None:
    """Load what a child would, so that its copies have it."""
    registry.load()
    import_module("errands.worker.crew")
    # What the collector never looks at stays shared.
    gc.collect()
    gc.freeze()


def fork(main: Callable[[], NoReturn], standard_input: int) -> Copy:
    """Run ``main`` in a copy of this process, and return that.

    Only for a process that ``may_fork``, without connections. In the copy, signals
    do what they do in a new process until ``main`` says otherwise.
    """
    flush(sys.stdout, sys.stderr)
    # No signal may find a copy with its parent's handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*OURS, *hangups()))
    try:
        pid = os.fork()
        if not pid:
            _live(main, standard_input, before)
        return Copy(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def close_databases() -> None:
    """Close every connection; a copy could not share it.

    And pools, whose threads let nobody fork.
    """
    close_sidecars()
    close_connections()
    for connection in connections.all(initialized_only=True):
        if hasattr(connection, "close_pool"):
            connection.close_pool()


def _is_alone(*, after: float) -> bool:
    """Return whether there is one thread; one that has ended is listed a bit longer."""
    time.sleep(after)
    return len(list(THREADS.iterdir())) == 1


def _live(
    main: Callable[[], NoReturn], standard_input: int, signals: set[signal.Signals | int]
) -> NoReturn:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD, *hangups()):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        close_lifelines()
        os.dup2(standard_input, 0)
        os.close(standard_input)
        main()
    except BaseException:  # noqa: BLE001 - printed
        traceback.print_exc()
    finally:
        os._exit(1)
