"""Runs, their engines and an attempt in hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.tasks import Task, TaskResultStatus, task_backends
from django.tasks.base import TaskResult
from django.test import override_settings
from pytest_django import Settings

from errands.runs import handover
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.tasks.context import TaskContext, attempting
from errands.tasks.interrupting import Control
from tests.runs import jobs
from tests.runs.engines import WORKERS, RemoteEngine, Worker

ENGINES = {
    "default": {"BACKEND": "errands.queue.DatabaseBackend"},
    "remote": {"BACKEND": "tests.runs.engines.RemoteEngine", "QUEUES": []},
    "immediate": {
        "BACKEND": "django.tasks.backends.immediate.ImmediateBackend",
        "QUEUES": [],
    },
}


@pytest.fixture(autouse=True)
def site(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """Set up the engines and a storage of this test; return its directory."""
    settings.ERRANDS = {"IMPORTS": ["tests.runs.jobs"]}
    settings.MEDIA_ROOT = tmp_path / "media"
    RemoteEngine.tasks.clear()
    with override_settings(TASKS=ENGINES):
        yield tmp_path / "media"


@pytest.fixture(params=WORKERS)
def worker(request: pytest.FixtureRequest, site: Path) -> Worker:
    """Return a worker of each engine in turn."""
    return WORKERS[request.param]()


@pytest.fixture
def shared_worker(site: Path) -> Worker:
    """Return a worker of our own engine."""
    return WORKERS["shared"]()


@pytest.fixture
def remote_worker(site: Path) -> Worker:
    """Return a worker of the remote engine."""
    return WORKERS["remote"]()


@pytest.fixture
def ann(db: None) -> User:
    """Return a user."""
    return User.objects.create_user("ann")


@pytest.fixture
def new_run() -> Callable[..., Run]:
    """Return a function that starts a run, by default of ``export``."""

    def start(
        task: Task = jobs.export, backend: str = "default", **particulars: Any
    ) -> Run:
        return handover.create(
            job_path=task.module_path,
            task=task,
            args=[],
            kwargs={},
            backend=backend,
            **particulars,
        )

    return start


@pytest.fixture
def take_over() -> Callable[..., Possession | None]:
    """Return a function that takes a run over as an attempt of some task."""

    def take(
        run: Run,
        *,
        task_id: str = "",
        token: int = 1,
        dispatch: int = 1,
        control: Control | None = None,
    ) -> Possession | None:
        context = TaskContext(
            task_result=running_result(run, task_id or run.dispatched_task or "task"),
            token=token,
            control=control or Control(),
        )
        with attempting(context):
            return handover.take_over(run.pk, dispatch)

    return take


@pytest.fixture
def possession(
    new_run: Callable[..., Run], take_over: Callable[..., Possession]
) -> Possession:
    """Return a run that an attempt has taken over."""
    run = new_run()
    run.refresh_from_db()
    return take_over(run)


def running_result(run: Run, task_id: str) -> TaskResult:
    """Return what an engine says about a run's task while it runs."""
    return TaskResult(
        task=task_backends["remote"].task_class(func=jobs.export.func, backend="remote"),
        id=task_id,
        status=TaskResultStatus.RUNNING,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=[str(run.pk), 1],
        kwargs={},
        backend="remote",
        errors=[],
        worker_ids=["one"],
    )


def stored(run_id: UUID) -> Run:
    """Return the run as the database has it."""
    return Run.objects.get(pk=run_id)
