"""Signals of a task's life that ``django.tasks`` has not.

All are sent with ``send_robust``: a receiver that raises is logged by Django
and changes no outcome. ``sender`` is the backend's class and ``task_result``
the result so far, as in Django's own.
"""

import logging
from contextvars import ContextVar
from typing import Any

from django.dispatch import Signal
from django.tasks import TaskResult

logger = logging.getLogger("errands.tasks")

task_retrying = Signal()
"""An attempt raised and the task will be tried again; also ``after``."""

task_discarded = Signal()
"""The task was discarded; sent before Django's ``task_finished``."""

task_rescued = Signal()
"""The task was taken back from a dead worker."""

_told_of: ContextVar[TaskResult | None] = ContextVar("told_of", default=None)


def tell(signal: Signal, sender: type, *, task_result: TaskResult, **told: Any) -> None:
    """Send a signal from where no receiver may stop us.

    Django lets ``SystemExit`` and its like through, which would end the thread,
    or the worker.
    """
    before = _told_of.set(task_result)
    try:
        signal.send_robust(sender, task_result=task_result, **told)
    except BaseException:
        logger.exception("Task id=%s: a receiver broke out", task_result.id)
    finally:
        _told_of.reset(before)


def told_of() -> TaskResult | None:
    """Return the task whose receivers are being called here, if any."""
    return _told_of.get()
