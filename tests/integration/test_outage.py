"""PostgreSQL goes away under load and comes back; the worker is left alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.integration.conftest import StartWorker
from tests.integration.processes import ROOT, eventually
from tests.servers.postgresql import OwnServer

TASKS = 20_000
# A minute in earnest; ERRANDS_TEST_OUTAGE sets the seconds.
AWAY_SECONDS = float(os.environ.get("ERRANDS_TEST_OUTAGE", "6"))

pytestmark = [pytest.mark.quiet, pytest.mark.timeout(600 + 2 * AWAY_SECONDS)]

ENQUEUE = f"""
from tests.testapp.tasks import nothing
nothing.enqueue_many([((), {{}})] * {TASKS})
"""
# A session that was opened after the lock was taken, and waits for it.
ASKS_SINCE = """
SELECT count(*) FROM pg_stat_activity AS waits WHERE wait_event_type = 'Lock'
AND backend_start > (
    SELECT max(xact_start) FROM pg_stat_activity
    WHERE pid = ANY(pg_blocking_pids(waits.pid)) AND state = 'idle in transaction'
)
"""
LEASE_SECONDS = 4
HOLD = """
from tests.integration.hostile_tasks import hold, hold_politely
for task, name in ((hold, "first"), (hold_politely, "second")):
    task.using(queue_name=name).enqueue({directory!r} + "/" + name)
"""


class Site:
    """The site on a server of its own, which can be halted."""

    def __init__(self, server: OwnServer) -> None:
        self.server = server
        self.environment = {
            "ERRANDS_TEST_DATABASE": "postgresql",
            "ERRANDS_TEST_POSTGRES": server.url,
            "ERRANDS_TEST_DATABASE_NAME": "postgres",
            "LEASE_SECONDS": "3600",
        }

    def manage(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                **self.environment,
                "DJANGO_SETTINGS_MODULE": "tests.integration.settings",
                "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            },
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def count(self, query: str) -> int:
        with psycopg.connect(self.server.url) as connection:
            row = connection.execute(query).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


class Doorman:
    """Stands where the server was, and notes who knocks and when."""

    def __init__(self, directory: Path) -> None:
        self.knocks: list[float] = []
        self._socket = socket.socket(socket.AF_UNIX)
        path = directory / ".s.PGSQL.5432"
        path.unlink(missing_ok=True)
        self._path = path
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._socket.listen(100)

    @contextmanager
    def at_the_door(self) -> Iterator[None]:
        thread = threading.Thread(target=self._refuse, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._socket.shutdown(socket.SHUT_RDWR)
            thread.join()
            self._socket.close()
            self._path.unlink()

    def _refuse(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                self.knocks.append(time.monotonic())
                visitor.close()


@pytest.fixture
def site() -> Iterator[Site]:
    server = OwnServer()
    server.start()
    with psycopg.connect(server.url) as connection:
        # Of a commit it has acknowledged, a server that crashes loses nothing.
        connection.execute("ALTER ROLE postgres SET synchronous_commit = on")
    site = Site(server)
    site.manage("migrate", "--verbosity", "0")
    yield site
    server.stop()


def test_a_database_that_stops_under_load_loses_nothing_and_is_not_stormed(
    start_worker: StartWorker, site: Site
):
    site.manage("shell", "--verbosity", "0", "-c", ENQUEUE)
    worker = start_worker("--processes", "2", **site.environment).is_ready()
    done = "SELECT count(*) FROM errands_result"
    eventually(lambda: site.count(done) > TASKS / 10, "the worker is at work")

    site.server.halt()
    doorman = Doorman(site.server.directory)
    with doorman.at_the_door():
        threading.Event().wait(AWAY_SECONDS)
        eventually(lambda: len(doorman.knocks) >= 2, "somebody knocks again")
    site.server.resume()
    left = TASKS - site.count(done)
    eventually(lambda: site.count(done) == TASKS, "every task ended", within=300)

    assert left > 0
    assert len(doorman.knocks) <= 2 * AWAY_SECONDS
    assert site.count(f"{done} WHERE status <> 1") == 0
    assert site.count("SELECT count(*) FROM errands_task") == 0
    worker.ask_to_stop()
    assert worker.ends() == 0, worker.errors


def test_what_runs_outlives_an_outage_that_its_lease_does_not(
    start_worker: StartWorker, site: Site, tmp_path: Path
):
    rooms = [tmp_path / "first", tmp_path / "second"]
    for room in rooms:
        room.mkdir()
    site.environment["LEASE_SECONDS"] = str(LEASE_SECONDS)
    for room in rooms:
        start_worker("--queues", room.name, **site.environment).is_ready()
    # Whoever holds nothing would take the others for lost.
    start_worker("--queues", "third", **site.environment).is_ready()
    site.manage("shell", "--verbosity", "0", "-c", HOLD.format(directory=str(tmp_path)))
    eventually(lambda: all((room / "started").exists() for room in rooms), "both run")
    threading.Event().wait(LEASE_SECONDS / 2)

    site.server.halt()
    threading.Event().wait(LEASE_SECONDS + 1)
    site.server.resume()
    # Until all of them judge each other again.
    threading.Event().wait(2 * LEASE_SECONDS)
    for room in rooms:
        (room / "go").touch()
    done = "SELECT count(*) FROM errands_result"
    eventually(lambda: site.count(done) == 2, "both have ended")

    assert site.count(f"{done} WHERE status = 1 AND crashes = 0 AND token = 1") == 2


def test_a_worker_whose_database_does_not_answer_stops_when_it_is_told_to(
    start_worker: StartWorker, site: Site
):
    worker = start_worker("--threads", "1", **site.environment).is_ready()
    pid = site.count("SELECT pid FROM errands_worker")
    with psycopg.connect(site.server.url) as other:
        other.execute("LOCK TABLE errands_task")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: site.count(ASKS_SINCE) > 0, "its supervisor would rescue")

        worker.ask_to_stop()

        assert worker.ends() == 0, worker.errors
    assert "its rescue has to wait" in worker.errors
