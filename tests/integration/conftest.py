"""Workers on the test database, killed when their test is over."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from errands.queue.models import ResultRow, TaskRow
from tests.integration.processes import WorkerProcess, eventually

type StartWorker = Callable[..., WorkerProcess]

HAS_FAILED = pytest.StashKey[bool]()
MOST_ROWS = 5


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test has failed, for the fixtures that end after it."""
    report = yield
    item.stash[HAS_FAILED] = report.failed
    return report


@pytest.fixture
def start_worker(
    request: pytest.FixtureRequest, transactional_db: None, tmp_path: Path
) -> Iterator[StartWorker]:
    """Return a function that starts a worker; all are killed in the end.

    Where the test has failed, they say what they were about.
    """
    started: list[WorkerProcess] = []

    def start(*arguments: str, **environment: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        started.append(WorkerProcess(*arguments, log=log, **environment))
        return started[-1]

    yield start

    try:
        if request.node.stash.get(HAS_FAILED, False):
            told = "\n".join(worker.testify() for worker in started)
            request.node.add_report_section("teardown", "workers", told)
            request.node.add_report_section("teardown", "newest rows", _newest_rows())
    finally:
        for worker in started:
            worker.kill_all()


def _newest_rows() -> str:
    return "\n".join(
        f"{model.__name__} {row}"
        for model in (TaskRow, ResultRow)
        for row in model.objects.order_by("-id").values()[:MOST_ROWS]
    )


@pytest.fixture
def pid_in(tmp_path: Path) -> Callable[[], int]:
    """Return a function that waits for ``hold`` to start and returns its process."""

    def wait() -> int:
        path = tmp_path / "started"
        eventually(lambda: path.exists() and path.read_text(), "the task started")
        return int(path.read_text())

    return wait
