"""System checks of the jobs of a site; without jobs they say nothing."""

from collections.abc import Iterator
from contextlib import suppress
from inspect import getattr_static
from types import FunctionType
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.core.files.storage import storages
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend

from errands.conf import settings
from errands.jobs.job import Job
from errands.jobs.perform import new_task
from errands.jobs.site import LINE_TO_ADD, MISSING_PAGES, has_pages
from errands.runs.files import depends_on_the_directory
from errands.tasks.registry import registry
from errands.text import did_you_mean

FILES_OF_A_DIRECTORY = (
    "Storage {alias!r}, which keeps the results of jobs, has no absolute location: a "
    "worker started in another directory writes where no web process looks."
)
METHODS = FunctionType | property | classmethod | staticmethod
OPTIONS = [
    name
    for name, value in vars(Job).items()
    if not (name.startswith("_") or isinstance(value, METHODS))
]
LIKENESS = 0.8
ABSOLUTE_LOCATION = "Set MEDIA_ROOT, or its location in STORAGES, to an absolute path."


def check_jobs(**kwargs: Any) -> list[CheckMessage]:
    """Check that each job can be started, seen, and its results be found."""
    jobs = jobs_of_site()
    found = [message for job in jobs for message in (*_task(job), *_spelling(job))]
    return [*found, *_pages(), *_storage()] if jobs else []


def jobs_of_site() -> list[type[Job]]:
    """Return the jobs of all modules that can be imported; a worker names the others."""
    with suppress(Exception):
        registry.load()
    return Job.known()


def _task(job: type[Job]) -> Iterator[CheckMessage]:
    """Make the task as the first start would."""
    try:
        new_task(job)
    except (InvalidTask, InvalidTaskBackend) as refusal:
        yield Warning(
            f"Job {job.path()} cannot be started: {refusal}",
            hint=_remedy(job),
            id="errands.W005",
        )


def _spelling(job: type[Job]) -> Iterator[CheckMessage]:
    """Look for what was meant for an option: nobody would ask for a permission, say."""
    for name in sorted({*dir(job)} - {*dir(Job)}):
        if name.startswith("_") or isinstance(getattr_static(job, name), METHODS):
            continue
        if hint := did_you_mean(name, OPTIONS, likeness=LIKENESS):
            yield Warning(
                f"Nothing reads {job.path()}.{name}.",
                hint=f"{hint.strip()} If it is your own, give it another name.",
                id="errands.W006",
            )


def _remedy(job: type[Job]) -> str:
    known = sorted(django_settings.TASKS)
    if job.backend not in known:
        return f"{job.__name__}.backend is an alias of TASKS: {', '.join(known)}."
    queues = task_backends[job.backend].queues
    if queues and job.queue_name not in queues:
        return (
            f"Add {job.queue_name!r} to TASKS[{job.backend!r}]['QUEUES'], or let it be "
            "[], which takes any."
        )
    return f"Look at what {job.__name__} says, and at TASKS[{job.backend!r}]."


def _pages() -> Iterator[CheckMessage]:
    urlconf = getattr(django_settings, "ROOT_URLCONF", None)
    if urlconf and not has_pages():
        text = MISSING_PAGES.format(urlconf=urlconf)
        yield Warning(text, hint=LINE_TO_ADD, id="errands.W004")


def _storage() -> Iterator[CheckMessage]:
    # A storage that cannot be used is errands.E011.
    with suppress(Exception):
        alias = settings().storage
        if depends_on_the_directory(storages[alias]):
            text = FILES_OF_A_DIRECTORY.format(alias=alias)
            yield Warning(text, hint=ABSOLUTE_LOCATION, id="errands.W003")
