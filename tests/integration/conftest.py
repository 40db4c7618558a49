"""Workers on the test database, killed when their test is over."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.processes import WorkerProcess, eventually

type StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(transactional_db: None, tmp_path: Path) -> Iterator[StartWorker]:
    """Return a function that starts a worker; all are killed in the end."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, **environment: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(WorkerProcess(*arguments, log=log, **environment))
        return started[-1]

    yield start

    for worker in started:
        worker.kill_all()


@pytest.fixture
def pid_in(tmp_path: Path) -> Callable[[], int]:
    """Return a function that waits for ``hold`` to start and returns its process."""

    def wait() -> int:
        path = tmp_path / "started"
        eventually(lambda: path.exists() and path.read_text(), "the task started")
        return int(path.read_text())

    return wait
