"""A user with a click, a script for the job, and a worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import PermissionsMixin, User
from django.http import HttpRequest
from django.test import Client, RequestFactory
from pytest_django import Settings

from errands.jobs.job import Job
from errands.runs.models import Run
from tests.jobs.sample import Scripted
from tests.runs.engines import SharedWorker

type Script = Callable[[Any], Any]
type Play = Callable[..., Run]


@pytest.fixture(autouse=True)
def site(settings: Settings, tmp_path: Path) -> None:
    """Let workers find the sample jobs, and keep files in this test's directory."""
    settings.ERRANDS = {"IMPORTS": ["tests.jobs.sample"]}
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def ann(db: None) -> User:
    """Return the user who clicks."""
    return User.objects.create_user("ann")


@pytest.fixture
def bob(db: None) -> User:
    """Return somebody else."""
    return User.objects.create_user("bob")


@pytest.fixture
def without_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take from users what a user model without ``PermissionsMixin`` has not."""
    for name in [name for name in vars(PermissionsMixin) if "has_" in name]:
        monkeypatch.delattr(PermissionsMixin, name)


@pytest.fixture
def click(ann: User) -> HttpRequest:
    """Return ann's request."""
    request = RequestFactory().post("/reports/", headers={"host": "shop.example"})
    request.user = ann
    return request


@pytest.fixture
def browser(client: Client, ann: User) -> Client:
    """Return a client signed in as ann."""
    client.force_login(ann)
    return client


@pytest.fixture
def worker(db: None) -> SharedWorker:
    """Return a worker of our own engine, driven by hand."""
    return SharedWorker()


@pytest.fixture
def play(
    click: HttpRequest, worker: SharedWorker, monkeypatch: pytest.MonkeyPatch
) -> Play:
    """Return a function that starts and performs a script, and returns its run."""

    def perform(script: Script, *, job: type[Job] = Scripted) -> Run:
        monkeypatch.setattr(Scripted, "script", staticmethod(script), raising=False)
        run = job.start(click)
        worker.drain()
        run.refresh_from_db()
        return run

    return perform
