"""Queue, priority and due time as an assertion asks for them, checked."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.tasks import Task as DjangoTask
from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY
from django.utils import timezone

from errands.jobs.job import Job
from errands.queue.names import queue_name
from errands.tasks.options import TaskOptions
from errands.tasks.registry import registry
from errands.tasks.task import Task

SETTINGS = ("queue_name", "priority", "run_after")

type Target = DjangoTask | type[Job]


def asked_of(asked_by: str, task: Target, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a call must have been enqueued with.

    That is what ``using`` changed, and above that what the keywords say. What
    no call can have, and would never be found, is a ``TypeError`` or a
    ``ValueError``.
    """
    said = {name: expected[name] for name in SETTINGS if name in expected}
    for name, value in said.items():
        try:
            said[name] = CHECKS[name](value)
        except (TypeError, ValueError) as refused:
            raise type(refused)(f"{asked_by}() got {name}={value!r}; {refused}") from None
    used = _changed(task) if isinstance(task, DjangoTask) else {}
    return {**used, **said}


def _changed(task: DjangoTask) -> dict[str, Any]:
    """Return what a task has that is not as it was defined."""
    defined = registry.find(task.module_path)
    if defined is None or defined is task:
        return {}
    changed: dict[str, Any] = {
        name: getattr(task, name)
        for name in ("queue_name", "priority")
        if getattr(task, name) != getattr(defined, name)
    }
    due_in = getattr(task, "due_in", None)
    due = task.run_after if due_in is None else due_in
    return changed if due is None else {**changed, "run_after": _due(due)}


def changed_options(task: Target) -> dict[str, Any]:
    """Return the options of ours that ``using`` changed."""
    defined = registry.find(task.module_path) if isinstance(task, Task) else None
    if not isinstance(task, Task) or not isinstance(defined, Task):
        return {}
    return {
        option.name: value
        for option in fields(TaskOptions)
        if (value := getattr(task.options, option.name))
        != getattr(defined.options, option.name)
    }


def _queue(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("it takes a text such as 'mail'.")
    return queue_name(value)


def _priority(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("it takes an int.")
    if not TASK_MIN_PRIORITY <= value <= TASK_MAX_PRIORITY:
        raise ValueError(f"it takes {TASK_MIN_PRIORITY} to {TASK_MAX_PRIORITY}.")
    return value


def _due(value: object) -> datetime | timedelta | None:
    if not isinstance(value, datetime):
        if not isinstance(value, timedelta | None):
            raise TypeError("it takes a datetime, a timedelta from the call, or None.")
        return value
    if settings.USE_TZ and timezone.is_naive(value):
        raise ValueError("it has no time zone. Use timezone.make_aware() or a tzinfo.")
    return value


CHECKS = {"queue_name": _queue, "priority": _priority, "run_after": _due}
