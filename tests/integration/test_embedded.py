"""Real servers with a worker inside: they run tasks, stop gently, and share nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest

from errands.queue.models import ResultRow, TaskRow, WorkerRow
from errands.queue.states import TaskState
from errands.sidecar import sidecar
from tests.integration import hostile_tasks
from tests.integration.processes import PATIENCE_SECONDS, ROOT, eventually
from tests.testapp import tasks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

UVICORN = ("uvicorn", "tests.integration.serving:asgi", "--port", "{port}")
WITHOUT_LIFESPAN = (*UVICORN, "--lifespan", "off")
GUNICORN = ("gunicorn", "tests.integration.serving:wsgi", "--bind", "127.0.0.1:{port}")
# Until its main thread has ended, and only the worker is waited for.
MAIN_THREAD_SECONDS = 0.5
TWO_WORKERS = (*GUNICORN, "--workers", "2", "--preload")


class Server:
    """A server of its own process group, on a free port."""

    def __init__(self, *command: str, log: Path, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        self.log = log
        self.name = f"embedded-{port}"
        arguments = [part.format(port=port) for part in command]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.integration.settings",
                    "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                    "ERRANDS_TEST_NAME": self.name,
                    **environment,
                },
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Ask for a page that is not there."""
        try:
            urllib.request.urlopen(self.url, timeout=5)  # noqa: S310
        except HTTPError as answer:
            with answer:
                return answer.code == 404
        except (URLError, OSError):
            return False
        return False

    def is_up(self) -> "Server":
        eventually(self.answers, f"the server answers: {self.log.read_text()}")
        return self

    def ends(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


type Serve = Callable[..., Server]


@pytest.fixture
def serve(transactional_db: None, tmp_path: Path) -> Iterator[Serve]:
    started: list[Server] = []

    def start(*command: str, **environment: str) -> Server:
        log = tmp_path / f"server-{len(started)}.log"
        started.append(Server(*command, log=log, **environment))
        return started[-1]

    yield start

    for server in started:
        server.kill_all()


def workers_of(server: Server) -> int:
    query = f"SELECT id FROM {WorkerRow._meta.db_table} WHERE name = %s"
    return len(sidecar("default").execute(query, [server.name]))


def test_lifespan_starts_a_worker_before_the_first_request(serve: Serve):
    result = tasks.add.enqueue(1)

    server = serve(*UVICORN)

    eventually(ResultRow.objects.exists, "the task ran")
    result.refresh()
    assert (result.return_value, result.worker_ids) == (2, [server.name])


@pytest.mark.parametrize(
    "command", [WITHOUT_LIFESPAN, GUNICORN], ids=["uvicorn", "gunicorn"]
)
def test_without_lifespan_the_first_request_starts_it(serve: Serve, command):
    result = tasks.add.enqueue(1)

    server = serve(*command).is_up()

    eventually(ResultRow.objects.exists, "the task ran")
    result.refresh()
    assert result.worker_ids == [server.name]


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_a_server_that_stops_lets_a_task_finish(
    serve: Serve, command, pid_in, tmp_path: Path
):
    server = serve(*command).is_up()
    result = hostile_tasks.hold.enqueue(str(tmp_path))
    pid = pid_in()

    server.process.terminate()
    (tmp_path / "go").touch()

    server.ends()
    result.refresh()
    assert result.return_value == pid
    assert workers_of(server) == 0


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_a_server_that_stops_gives_back_what_takes_too_long(
    serve: Serve, command, pid_in, tmp_path: Path
):
    server = serve(*command, ERRANDS_TEST_GRACE="0.2").is_up()
    hostile_tasks.hold.enqueue(str(tmp_path))
    pid_in()

    server.process.terminate()

    server.ends()
    row = TaskRow.objects.get()
    assert (row.state, row.attempt, row.crashes) == (TaskState.READY, 0, 0)
    assert workers_of(server) == 0


def test_forked_workers_of_a_preloaded_site_each_have_their_own(serve: Serve):
    server = serve(*TWO_WORKERS).is_up()

    eventually(
        lambda: server.answers() and workers_of(server) == 2, "both of them registered"
    )
    results = hostile_tasks.whose_process.enqueue_many([((), {})] * 50)
    eventually(lambda: ResultRow.objects.count() == 50, "everything ran")

    for result in results:
        result.refresh()
    assert server.process.pid not in {result.return_value for result in results}


def test_a_server_that_is_killed_leaves_its_tasks_to_the_next(
    serve: Serve, pid_in, tmp_path: Path
):
    lost = serve(*UVICORN, LEASE_SECONDS="3600").is_up()
    hostile_tasks.hold.enqueue(str(tmp_path))
    pid_in()
    lost.kill_all()
    (tmp_path / "go").touch()

    serve(*UVICORN)

    eventually(ResultRow.objects.exists, "the task ran again")
    assert ResultRow.objects.get().crashes == 1


def test_a_suspect_left_behind_runs_when_nothing_else_does(serve: Serve):
    tasks.nothing.enqueue()
    TaskRow.objects.update(state=TaskState.SUSPECT, crashes=1)

    serve(*UVICORN)

    eventually(ResultRow.objects.exists, "the suspect ran")


def test_a_coroutine_may_end_while_its_process_does(serve: Serve, tmp_path: Path):
    result = hostile_tasks.await_go.enqueue(str(tmp_path))

    server = serve("tests.integration.ending")
    eventually((tmp_path / "started").exists, "it has begun")
    time.sleep(MAIN_THREAD_SECONDS)
    (tmp_path / "go").touch()

    assert server.ends() == 0, server.log.read_text()
    result.refresh()
    assert result.errors == []
    assert result.is_finished
