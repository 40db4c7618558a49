"""Lives of processes that end at one boundary; also a process to be killed.

``python -m tests.runs.life 7 media`` starts and performs a run and sends itself
SIGKILL at the seventh boundary.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection

from errands.sidecar import Sidecar
from tests.runs.engines import RemoteEngine

OUTSIDE: list[tuple[type, str]] = [
    (Sidecar, "update"),
    (FileSystemStorage, "save"),
    (FileSystemStorage, "delete"),
    (FileSystemStorage, "listdir"),
    (RemoteEngine, "enqueue"),
    (RemoteEngine, "finish"),
]


class Killed(BaseException):
    """The process is dead: nothing after this line happens."""


class Life:
    """A process that dies at one boundary, and does nothing afterwards."""

    def __init__(self, *, dies_at: int = 0) -> None:
        self.dies_at = dies_at
        self.passed = 0
        self.is_dead = False

    def boundary(self) -> None:
        """Pass a boundary, or die there; the dead die again at the next."""
        self.passed += 1
        if self.is_dead or self.passed == self.dies_at:
            self.is_dead = True
            self.die()

    def die(self) -> None:
        """Leave this line for good."""
        raise Killed

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with a boundary before and after it."""

        def bounded(*args: Any, **kwargs: Any) -> Any:
            self.boundary()
            result = call(*args, **kwargs)
            self.boundary()
            return result

        return bounded

    def around_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, *rest: Any
    ) -> Any:
        """Put a boundary on both sides of a statement."""
        return self.around(execute)(sql, params, *rest)

    @contextmanager
    def lived(self) -> Iterator[None]:
        """Live until death or the end of the block, then drop what was open."""
        with ExitStack() as patches, pytest.MonkeyPatch.context() as patch:
            patches.enter_context(connection.execute_wrapper(self.around_statement))
            patch.setattr(connection, "commit", self.around(connection.commit))
            for owner, name in OUTSIDE:
                patch.setattr(owner, name, self.around(getattr(owner, name)))
            try:
                yield
            except BaseException:
                # Whatever a dead process still raises, nobody hears it.
                if not self.is_dead:
                    raise
            finally:
                connection.close()


class MortalLife(Life):
    """A process that really dies."""

    def die(self) -> None:
        """Be gone before the next line."""
        os.kill(os.getpid(), signal.SIGKILL)


def start_and_perform() -> None:
    """Start a run of ``export`` on the shared engine and perform it."""
    from errands.runs import handover
    from tests.runs import jobs
    from tests.runs.engines import SharedWorker

    path = jobs.export.module_path
    handover.create(job_path=path, task=jobs.export, args=[], kwargs={})
    SharedWorker().drain()


if __name__ == "__main__":
    settings.ERRANDS = {"IMPORTS": ["tests.runs.jobs"]}
    settings.MEDIA_ROOT = sys.argv[2]
    django.setup()
    with MortalLife(dies_at=int(sys.argv[1])).lived():
        start_and_perform()
