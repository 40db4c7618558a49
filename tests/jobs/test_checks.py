"""What a site is told of its jobs before the first click."""

from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from errands.jobs import checks
from errands.jobs.checks import check_jobs
from errands.jobs.job import Job
from tests.jobs.sample import Scripted

FILES = "django.core.files.storage.FileSystemStorage"
IN_MEMORY = "django.core.files.storage.InMemoryStorage"
DATABASE = "errands.queue.DatabaseBackend"


class Base(Job):
    abstract = True
    permissions_required = "shop.view_order"


class Restricted(Base):
    def perform(self) -> None: ...


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[type[Job]]:
    """Let the site have one job, whatever other tests have made."""
    known: list[type[Job]] = [Scripted]
    monkeypatch.setattr(Job, "known", lambda: known)
    return known


def test_a_site_that_is_set_up_hears_nothing() -> None:
    assert check_jobs() == []


def test_a_queue_that_the_backend_does_not_have_is_a_warning(settings: Settings) -> None:
    settings.TASKS = {"default": {"BACKEND": DATABASE, "QUEUES": ["default"]}}

    (message,) = check_jobs()

    assert (message.id, message.is_serious()) == ("errands.W005", False)
    assert message.msg == (
        "Job tests.jobs.sample.Scripted cannot be started: Queue 'jobs' is not valid "
        "for backend."
    )
    assert message.hint == (
        "Add 'jobs' to TASKS['default']['QUEUES'], or let it be [], which takes any."
    )


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        (
            "backend",
            "attic",
            "Scripted.backend is an alias of TASKS: default, dummy, immediate.",
        ),
        ("queue_name", "a*", "Look at what Scripted says, and at TASKS['default']."),
    ],
)
def test_what_no_start_could_do_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str
) -> None:
    monkeypatch.setattr(Scripted, name, value)

    (message,) = check_jobs()

    assert message.id == "errands.W005"
    assert message.hint == hint


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("permision_required", "permission_required"),
        ("max_attempt", "max_attempts"),
        ("queuename", "queue_name"),
        ("back_off", "backoff"),
    ],
)
def test_a_misspelt_option_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setattr(Scripted, name, "anything", raising=False)

    (message,) = check_jobs()

    assert (message.id, message.is_serious()) == ("errands.W006", False)
    assert message.msg == f"Nothing reads tests.jobs.sample.Scripted.{name}."
    assert message.hint == (
        f"Did you mean {meant!r}? If it is your own, give it another name."
    )


def test_an_option_misspelt_in_a_base_is_one_too(jobs: list[type[Job]]) -> None:
    jobs[:] = [Restricted]

    (message,) = check_jobs()

    assert message.msg == (
        "Nothing reads tests.jobs.test_checks.Restricted.permissions_required."
    )


@pytest.mark.parametrize("name", ["model", "fields", "batch_size", "_unique", "runs_on"])
def test_attributes_of_ones_own_are_none(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Scripted, name, "anything", raising=False)

    assert check_jobs() == []


def test_a_site_that_has_forgotten_the_pages_is_told_the_line(
    settings: Settings,
) -> None:
    settings.ROOT_URLCONF = "tests.jobs.no_urls"

    (message,) = check_jobs()

    assert message.id == "errands.W004"
    assert message.msg == (
        "The URLconf 'tests.jobs.no_urls' does not include the pages of jobs."
    )
    assert message.hint == (
        'Add path("jobs/", include("errands.urls")) to its urlpatterns.'
    )


@pytest.mark.parametrize("media_root", ["", "media"])
def test_a_storage_below_the_current_directory_is_a_warning(
    media_root: str, settings: Settings
) -> None:
    settings.MEDIA_ROOT = media_root

    (message,) = check_jobs()

    assert message.id == "errands.W003"
    assert message.msg == (
        "Storage 'default', which keeps the results of jobs, has no absolute location: "
        "a worker started in another directory writes where no web process looks."
    )
    assert message.hint == (
        "Set MEDIA_ROOT, or its location in STORAGES, to an absolute path."
    )


@pytest.mark.parametrize(
    ("storage", "ids"),
    [
        ({"BACKEND": FILES, "OPTIONS": {"location": "results"}}, ["errands.W003"]),
        ({"BACKEND": FILES, "OPTIONS": {"location": Path(__file__).parent}}, []),
        ({"BACKEND": IN_MEMORY}, []),
        ({"BACKEND": "a.B"}, []),
    ],
)
def test_the_storage_of_results_is_looked_at_and_no_other(
    storage: dict[str, object], ids: list[str], settings: Settings
) -> None:
    settings.MEDIA_ROOT = ""
    settings.STORAGES = {**settings.STORAGES, "results": storage}
    settings.ERRANDS = {"STORAGE": "results"}

    assert [message.id for message in check_jobs()] == ids


def test_a_site_without_jobs_hears_nothing(
    jobs: list[type[Job]], settings: Settings
) -> None:
    jobs.clear()
    settings.MEDIA_ROOT, settings.ROOT_URLCONF = "", "tests.jobs.no_urls"

    assert check_jobs() == []


def test_jobs_that_no_view_has_imported_are_looked_at_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = []
    monkeypatch.setattr(checks.registry, "load", lambda: loaded.append(True))

    check_jobs()

    assert loaded == [True]


def test_a_module_that_cannot_be_imported_ends_no_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise ImportError("no celery here")

    monkeypatch.setattr(checks.registry, "load", broken)

    assert check_jobs() == []


def test_the_check_is_one_of_the_sites(settings: Settings) -> None:
    settings.MEDIA_ROOT = ""

    found = [message.id for message in run_checks()]

    assert found.count("errands.W003") == 1
