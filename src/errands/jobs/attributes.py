"""What a job class says of itself, looked at where the class is made.

Only what needs no settings: whether the backend takes it is a system check.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING

from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY

from errands.exceptions import JobError
from errands.tasks.backoff import check_backoff, check_signatures
from errands.tasks.options import TaskOptions

if TYPE_CHECKING:
    from errands.jobs.job import Job

UNIQUE_BY = {"owner", "arguments"}
LONGEST_KEPT = timedelta(days=36_525)


def check_attributes(job: type["Job"]) -> None:
    """Refuse at the import what would fail at the first start."""
    check_backoff(f"{job.path()}.backoff", job.backoff)
    check_signatures(f"{job.path()}.backoff", job.backoff)
    options_of(job)
    _check_task(job)
    _check_permission(job)
    _check_unique(job)
    _check_expiry(job)
    _check_perform(job)


def options_of(job: type["Job"]) -> TaskOptions:
    """Return the options of a job's task.

    A ``JobError`` is an answer, not an accident: it is never tried again.
    """
    options = TaskOptions(
        max_attempts=job.max_attempts, backoff=job.backoff, discard_on=job.discard_on
    )
    return replace(options, discard_on=(*options.discard_on, JobError))


def _check_task(job: type["Job"]) -> None:
    for name in ("queue_name", "backend"):
        given: object = getattr(job, name)
        if not isinstance(given, str):
            raise TypeError(f"{job.path()}.{name} is {given!r}; it takes a text.")
    priority: object = job.priority
    lowest, highest = TASK_MIN_PRIORITY, TASK_MAX_PRIORITY
    is_number = isinstance(priority, int) and not isinstance(priority, bool)
    if not is_number or not lowest <= job.priority <= highest:
        raise ValueError(
            f"{job.path()}.priority is {priority!r}; it is a whole number from "
            f"{lowest} to {highest}."
        )


def _check_permission(job: type["Job"]) -> None:
    required: object = job.permission_required
    names = (required,) if isinstance(required, str) else required
    is_listed = isinstance(names, Collection) and all(isinstance(n, str) for n in names)
    if names is not None and not is_listed:
        raise TypeError(
            f"{job.path()}.permission_required is {required!r}; it takes a permission "
            "such as 'shop.view_order', a tuple of them, or None."
        )


def _check_unique(job: type["Job"]) -> None:
    unique: object = job.unique
    if not isinstance(unique, Collection) or set(unique) - UNIQUE_BY:
        raise TypeError(
            f"{job.path()}.unique is {unique!r}; it takes a tuple of "
            '"owner" and "arguments".'
        )


def _check_expiry(job: type["Job"]) -> None:
    expires = job.result_expires
    if not isinstance(expires, timedelta | None):
        raise TypeError(
            f"{job.path()}.result_expires is {expires!r}; it takes a timedelta, or "
            "None to keep the results."
        )
    if expires is not None and expires < timedelta():
        raise ValueError(
            f"{job.path()}.result_expires is {expires!r}, less than nothing. None "
            "keeps the results."
        )
    if expires is not None and expires > LONGEST_KEPT:
        raise ValueError(
            f"{job.path()}.result_expires is {expires!r}, more than 100 years. None "
            "keeps the results."
        )


def _check_perform(job: type["Job"]) -> None:
    from errands.jobs.job import Job

    if iscoroutinefunction(job.perform):
        raise TypeError(
            f"{job.path()}.perform is async; a job's perform is a plain method. "
            "Call async code in it with asgiref.sync.async_to_sync."
        )
    if isgeneratorfunction(job.perform) or isasyncgenfunction(job.perform):
        raise TypeError(
            f"{job.path()}.perform is a generator: calling it runs none of its lines. "
            "It moves the bar with self.track() instead of yielding."
        )
    if job.perform is Job.perform:
        raise TypeError(
            f"{job.path()} has no perform(), which does the work. Write one, or say "
            "abstract = True where it is a base of other jobs."
        )
