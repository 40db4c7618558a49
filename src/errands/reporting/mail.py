"""Mail to ADMINS when a task has failed for good.

One mail per task and ``MAIL_FAILURES_EVERY``, however many of its calls fail
and in however many processes: what a broken partner does to 10,000 tasks is
one mail. The mail holds the error and no arguments, which may be secret.

Cancelled and discarded tasks are no failures. Django's default logging mails
each failed task as well, since ``django.tasks`` logs it as an ERROR; with
``MAIL_FAILURES`` that mail is left out.
"""

import logging
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import mail_admins
from django.db import DEFAULT_DB_ALIAS
from django.tasks import TaskResult, task_backends
from django.utils.log import AdminEmailHandler

from errands import instants
from errands.conf import settings
from errands.queue.models import ResultRow
from errands.queue.states import ResultStatus
from errands.tasks.ending import has_failed
from errands.tasks.hearing import connect_to_ends
from errands.tasks.keys import fitting
from errands.tasks.rates import Rate
from errands.text import clean_line

QUIET = {ResultStatus.SUCCEEDED, ResultStatus.CANCELLED, ResultStatus.DISCARDED}


def connect() -> None:
    """Mail from now on, if the site wants it."""
    try:
        wanted = settings().mail_failures
    except ImproperlyConfigured:
        return  # The system checks say what is wrong.
    if not wanted:
        return
    connect_to_ends(mail_failure, dispatch_uid="errands.reporting.mail")
    for handler in logging.getLogger("django").handlers:
        if isinstance(handler, AdminEmailHandler):
            handler.addFilter(is_not_of_a_task)


def mail_failure(*, task_result: TaskResult, **kwargs: Any) -> None:
    """Mail what failed, unless a mail of the same task was sent a while ago."""
    if not has_failed(task_result):
        return
    from errands.queue.throttling import rates

    path, every = task_result.task.module_path, settings().mail_failures_every
    alias = _alias_of(task_result)
    if every and rates.take(alias, fitting(f"mail {path}"), Rate(1, every)) is not None:
        return
    subject = clean_line(f"Task failed: {path}")
    mail_admins(subject, _told(task_result, _failures(alias, path, every)))


def is_not_of_a_task(record: logging.LogRecord) -> bool:
    """Return whether a record is none of a task that failed."""
    return record.name != "django.tasks"


def _alias_of(task_result: TaskResult) -> str:
    backend = task_backends[task_result.backend]
    return str(getattr(backend, "database_alias", DEFAULT_DB_ALIAS))


def _failures(alias: str, path: str, every: timedelta) -> int:
    # By an index: it begins with the status.
    loud = [status for status in ResultStatus if status not in QUIET]
    results = ResultRow.objects.using(alias).filter(
        path=path, status__in=loud, finished_at__gt=instants.now() - every
    )
    return results.count()


def _told(task_result: TaskResult, failures: int) -> str:
    lines = [
        f"{task_result.task.module_path} has failed for good.",
        "",
        f"id:        {task_result.id}",
        f"queue:     {task_result.task.queue_name}",
        f"attempts:  {task_result.attempts}",
        f"enqueued:  {task_result.enqueued_at:%Y-%m-%d %H:%M:%S %Z}",
        f"worker:    {task_result.worker_ids[-1] if task_result.worker_ids else ''}",
    ]
    if failures > 1:
        minutes = settings().mail_failures_every.total_seconds() / 60
        others = f"{failures:,} calls of it failed in the last {minutes:g} minutes"
        lines += ["", f"{others}, in which one mail is sent."]
    if task_result.errors:
        lines += ["", task_result.errors[-1].traceback]
    return "\n".join(lines)
