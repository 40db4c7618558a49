"""Lives of processes that end at one boundary; also a process to be killed.

``python -m tests.runs.life 7 media`` starts and performs a run and sends itself
SIGKILL at the seventh boundary.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import django
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection

from errands.sidecar import Sidecar
from tests.runs.engines import RemoteEngine
from tests.torture.faults import Faults, die

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


def killed() -> None:
    """Leave this line for good."""
    raise Killed


def life(*, dies_at: int = 0, die: Callable[[], None] = killed) -> Faults:
    """Return a process that dies at one boundary, and does nothing afterwards."""
    return Faults(die, at=dies_at, outside=OUTSIDE)


@contextmanager
def lived(life: Faults) -> Iterator[None]:
    """Live until death or the end of the block, then drop what was open."""
    try:
        with life.waiting():
            yield
    except BaseException:
        # Whatever a dead process still raises, nobody hears it.
        if not life.has_struck:
            raise
    finally:
        connection.close()


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
    with lived(life(dies_at=int(sys.argv[1]), die=die)):
        start_and_perform()
