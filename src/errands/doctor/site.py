"""The site's settings, as far as a running system shows what they lead to."""

from collections.abc import Iterator
from contextlib import suppress

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from errands.conf import settings
from errands.doctor.findings import Finding, error, ok, warning
from errands.jobs.checks import (
    ABSOLUTE_LOCATION,
    FILES_OF_A_DIRECTORY,
    jobs_of_site,
)
from errands.queue.backend import backends
from errands.runs.files import TOP, depends_on_the_directory
from errands.text import clean_line

PROBE = f"{TOP}/doctor.txt"


def examined() -> Iterator[Finding]:
    """Yield what is found without looking at a database."""
    yield from _backends()
    yield from _base_url()
    yield from _storage()


def _backends() -> Iterator[Finding]:
    if not backends():
        yield warning(
            "No backend in TASKS keeps its tasks in a database.",
            "Set TASKS = {'default': {'BACKEND': 'errands.queue.DatabaseBackend'}}.",
        )


def _base_url() -> Iterator[Finding]:
    if not settings().base_url:
        yield warning(
            "ERRANDS['BASE_URL'] is not set: a job that is started without a request "
            "cannot render a page or name an address.",
            "Set it to scheme and host, such as 'https://shop.example'.",
        )


def _storage() -> Iterator[Finding]:
    alias = settings().storage
    storage = storages[alias]
    try:
        _probe(storage)
    except Exception as failed:  # noqa: BLE001 - a storage may raise anything
        yield error(
            f"Storage {alias!r} does not take files: {clean_line(repr(failed))}",
            "Results of jobs are kept there; web processes and workers must share it.",
        )
    else:
        yield ok(f"Storage {alias!r} takes files.")
    if depends_on_the_directory(storage) and jobs_of_site():
        yield warning(FILES_OF_A_DIRECTORY.format(alias=alias), ABSOLUTE_LOCATION)


def _probe(storage: Storage) -> None:
    """Save a file where those of runs are, and leave nothing behind.

    Whose directory it is decides who can write there; it is not the doctor's.
    """
    was_there = storage.exists(TOP)
    storage.delete(storage.save(PROBE, ContentFile(b"The doctor was here.\n")))
    if not was_there and storage.exists(TOP):
        # A run may have put a file into it by now.
        with suppress(OSError):
            storage.delete(TOP)
