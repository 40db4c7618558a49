"""Ends a run whose task has ended without it: step 4 of the hand-over."""

import logging
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.db import Error
from django.tasks import TaskResult, TaskResultStatus
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from errands.exceptions import RecordGone, TaskCancelled, TaskCrashed, WorkerLost
from errands.runs.ending import end
from errands.runs.fence import run_alias
from errands.runs.models import Run
from errands.runs.states import State
from errands.tasks.hearing import connect_to_ends
from errands.text import class_path

logger = logging.getLogger("errands.runs")

STOPPED_UNEXPECTEDLY = _("This stopped unexpectedly, several times.")
SOMETHING_WENT_WRONG = _("Something went wrong on our side.")

CANCELLED_TASK = class_path(TaskCancelled)
NO_TRACE = "no trace of its work"

MESSAGES = {
    class_path(RecordGone): _("What this was about no longer exists."),
    class_path(TaskCrashed): STOPPED_UNEXPECTEDLY,
    class_path(WorkerLost): STOPPED_UNEXPECTEDLY,
    NO_TRACE: _("The work on this was lost on our side."),
}
"""Texts the owner may read, by what ended the task."""


def connect() -> None:
    """Be told of every job's task that ends in this process."""
    connect_to_ends(_on_task_finished, dispatch_uid="errands.runs.reconcile")


def end_with(result: TaskResult) -> bool:
    """End the open run this finished task is responsible for, if any."""
    run_id, dispatch = result.args
    runs = Run.objects.using(run_alias()).of_task(run_id, dispatch, result.id)
    run = runs.first()
    return run is not None and end_run(run, result)


def end_run(run: Run, result: TaskResult | None) -> bool:
    """End a run whose responsible task has ended, or is gone (None).

    A task that ended well and left its run open did not do its work; such a
    run has failed as well. False if the run ended, or got another task, in
    the meantime.
    """
    runs = Run.objects.using(run_alias()).of_task(
        run.pk, run.dispatch, run.responsible_task
    )
    cause = _cause(result)
    if run.state == State.CANCELLING or cause == CANCELLED_TASK:
        return end(runs, run.pk, state=State.CANCELLED)
    with translation.override(run.language or django_settings.LANGUAGE_CODE):
        message = str(MESSAGES.get(cause, SOMETHING_WENT_WRONG))
    told = {"error_message": message, "error_reference": run.reference}
    ended = end(runs, run.pk, state=State.FAILED, **told)
    if ended:
        logger.error("Run %s of %s ended: %s", run.reference, run.job, cause)
    return ended


def _cause(result: TaskResult | None) -> str:
    if result is None or result.status != TaskResultStatus.FAILED:
        return NO_TRACE
    return result.errors[-1].exception_class_path if result.errors else NO_TRACE


def _on_task_finished(*, task_result: TaskResult, **kwargs: Any) -> None:
    """Take a failed write as a delay: the sweep sees the same end."""
    if not _may_belong_to_a_run(task_result):
        return
    try:
        end_with(task_result)
    except Error:
        logger.warning("Task id=%s: its run waits for the sweep", task_result.id)


def _may_belong_to_a_run(result: TaskResult) -> bool:
    """Spare all other tasks a query: a job's are a run id and a number."""
    match result.args:
        case [str(run_id), int()] if not result.kwargs:
            return _is_uuid(run_id)
        case _:
            return False


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
