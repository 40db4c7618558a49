"""Children are copies of their supervisor where that is sound, else new interpreters."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration import hostile_tasks
from tests.integration.conftest import StartWorker
from tests.integration.processes import WorkerProcess, eventually

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

COPY, NEW = "django worker", "errands.worker.supervising.child"
SETTINGS = """
from tests.integration.settings import *

ERRANDS = {{**ERRANDS, "IMPORTS": [*ERRANDS["IMPORTS"], "its_tasks"], **{changed}}}
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    DATABASES["default"]["OPTIONS"] = {{"pool": {pool}}}
"""
BEGINS_A_THREAD = """
from threading import Event, Thread

Thread(target=Event().wait, daemon=True).start()
"""
ASKS_DATABASES = """
from django.db import connection
from errands.sidecar import sidecar

with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
sidecar().execute("SELECT 1")
"""


class Site:
    """A site with a module of tasks of its own, in a directory."""

    def __init__(self, directory: Path, start_worker: StartWorker) -> None:
        self.directory = directory
        self.start_worker = start_worker

    def worker(
        self, *options: str, tasks: str = "", pool: bool = False, **changed: object
    ) -> WorkerProcess:
        """Start a worker, with settings of ``ERRANDS`` changed."""
        (self.directory / "its_tasks.py").write_text(tasks)
        told = SETTINGS.format(changed=changed, pool=pool)
        (self.directory / "its_settings.py").write_text(told)
        return self.start_worker(
            *options,
            DJANGO_SETTINGS_MODULE="its_settings",
            PYTHONPATH=os.pathsep.join(["src", ".", str(self.directory)]),
        ).is_ready()


@pytest.fixture
def site(tmp_path: Path, start_worker: StartWorker) -> Site:
    return Site(tmp_path, start_worker)


def who_works() -> int:
    """Let somebody run a task, and return the process."""
    result = hostile_tasks.whose_process.enqueue()
    eventually(lambda: result.refresh() or result.is_finished, "a task ended")
    return int(result.return_value)


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.mark.parametrize(
    ("site_is", "command"),
    [
        ({}, COPY),
        ({"FORK": False}, NEW),
        ({"tasks": BEGINS_A_THREAD}, NEW),
        ({"tasks": ASKS_DATABASES}, COPY),
        ({"tasks": ASKS_DATABASES, "pool": True}, COPY),
    ],
    ids=["as by default", "not wanted", "a thread", "connections", "a pool"],
)
def test_a_child_is_a_copy_where_that_is_sound_and_so_is_its_heir(
    site: Site, site_is: dict[str, object], command: str
):
    site.worker(**site_is)  # type: ignore[arg-type]

    child = who_works()
    os.kill(child, signal.SIGKILL)
    heir = who_works()

    assert heir != child
    assert command in command_of(heir)


def test_a_copy_holds_no_lifeline_of_its_siblings(site: Site):
    """Else nobody would learn that the supervisor is gone."""
    worker = site.worker("--processes", "3")
    children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
    pids = [int(pid) for pid in children.read_text().split()]
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: len(children.read_text().split()) == 3, "the dead are replaced")
    pids = [int(pid) for pid in children.read_text().split()]

    worker.process.kill()

    assert len(pids) == 3
    eventually(lambda: not any(map(is_alive, pids)), "all of them ended")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_the_site_is_loaded_once(site: Site):
    loading = "import os; os.write(2, b'loaded\\n')"
    worker = site.worker("--processes", "2", tasks=loading)

    os.kill(who_works(), signal.SIGKILL)
    who_works()

    assert worker.errors.count("loaded") == 1


def test_a_copy_keeps_what_the_site_did_to_its_logs_when_it_got_ready(site: Site):
    site.worker(MAIL_FAILURES=True)

    result = hostile_tasks.filters_of_logs.enqueue()
    eventually(lambda: result.refresh() or result.is_finished, "a task ended")

    assert "is_not_of_a_task" in result.return_value
