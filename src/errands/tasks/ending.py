"""Whether a task that has ended has failed, and what the log says of it.

To ``django.tasks`` a cancelled or discarded task is FAILED, and its log tells of
it as an ERROR, which wakes people and fills error trackers. Nobody need do
anything about these, so with errands they are an INFO. It tells nothing of attempts that
raised and will be followed by another: that is a WARNING of ours.
"""

import logging
import sys
from datetime import timedelta
from typing import Any

from django.tasks import TaskResult, TaskResultStatus
from django.tasks.signals import log_task_finished, task_finished

from errands.exceptions import TaskCancelled
from errands.tasks.attempt import is_cooperative, options_of
from errands.tasks.groups import is_one_of
from errands.tasks.signals import task_retrying
from errands.text import class_path

CANCELLED = class_path(TaskCancelled)

logger = logging.getLogger("django.tasks")
own_logger = logging.getLogger("errands.tasks")


def has_failed(task_result: TaskResult) -> bool:
    """Return whether a task has failed for good, in a receiver of ``task_finished``.

    Neither cancelled nor discarded, also before it was attempted.
    """
    if task_result.status != TaskResultStatus.FAILED:
        return False
    if task_result.errors and task_result.errors[-1].exception_class_path == CANCELLED:
        return False
    raised, discarded = sys.exception(), options_of(task_result.task).discard_on
    return raised is None or not is_one_of(raised, (TaskCancelled, *discarded))


def log_end(sender: type, task_result: TaskResult, **told: Any) -> None:
    """Log the end of a task as Django does, an ERROR only where it has failed."""
    if has_failed(task_result) or task_result.status != TaskResultStatus.FAILED:
        log_task_finished(sender, task_result, **told)
        return
    told_of = task_result.id, task_result.task.module_path, task_result.status
    logger.info("Task id=%s path=%s state=%s: cancelled or discarded", *told_of)


def log_retry(task_result: TaskResult, after: timedelta, **told: Any) -> None:
    """Log an attempt that raised; that at a job is logged by the job."""
    if is_cooperative(task_result.task):
        return
    own_logger.warning(
        "Task id=%s path=%s: attempt %s failed, the next one is in %.1f s",
        task_result.id,
        task_result.task.module_path,
        task_result.attempts,
        after.total_seconds(),
        exc_info=sys.exception(),
    )


def connect() -> None:
    """Take the place of Django's own receiver, and tell of retries."""
    task_finished.disconnect(log_task_finished)
    task_finished.connect(log_end)
    task_retrying.connect(log_retry)
