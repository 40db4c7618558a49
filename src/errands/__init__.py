"""Everything outside the request-response cycle, in one Django package.

Importing this is cheap and needs no settings: names are loaded when they are
asked for, so it works in a settings module and before apps are ready.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errands.arguments import register_converter
    from errands.exceptions import (
        ArgumentError,
        ErrandsError,
        JobError,
        LeaseLost,
        RecordGone,
        SignatureMismatch,
        TaskCancelled,
        TaskInterrupted,
        TaskTimeout,
    )
    from errands.jobs.job import Job
    from errands.jobs.outcomes import JSON, Download, Message, Page, Redirect
    from errands.reporting.logs import TaskFilter
    from errands.runs.models import Run
    from errands.tasks.backoff import exponential
    from errands.tasks.carried import register_context
    from errands.tasks.context import TaskContext, current_context
    from errands.tasks.decorator import task
    from errands.tasks.ending import has_failed
    from errands.tasks.options import TaskOptions
    from errands.tasks.signals import task_discarded, task_rescued, task_retrying
    from errands.tasks.sweeps import sweep
    from errands.tasks.task import Task
    from errands.worker.embedding.embedded import start_worker, with_worker
    from errands.worker.working_off import work_off

_HOMES = {
    "errands.arguments": ("register_converter",),
    "errands.exceptions": (
        "ArgumentError",
        "ErrandsError",
        "JobError",
        "LeaseLost",
        "RecordGone",
        "SignatureMismatch",
        "TaskCancelled",
        "TaskInterrupted",
        "TaskTimeout",
    ),
    "errands.jobs.job": ("Job",),
    "errands.jobs.outcomes": ("JSON", "Download", "Message", "Page", "Redirect"),
    "errands.reporting.logs": ("TaskFilter",),
    "errands.runs.models": ("Run",),
    "errands.tasks.backoff": ("exponential",),
    "errands.tasks.carried": ("register_context",),
    "errands.tasks.context": ("TaskContext", "current_context"),
    "errands.tasks.decorator": ("task",),
    "errands.tasks.ending": ("has_failed",),
    "errands.tasks.options": ("TaskOptions",),
    "errands.tasks.signals": ("task_discarded", "task_rescued", "task_retrying"),
    "errands.tasks.sweeps": ("sweep",),
    "errands.tasks.task": ("Task",),
    "errands.worker.embedding.embedded": ("start_worker", "with_worker"),
    "errands.worker.working_off": ("work_off",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "JSON",
    "ArgumentError",
    "Download",
    "ErrandsError",
    "Job",
    "JobError",
    "LeaseLost",
    "Message",
    "Page",
    "RecordGone",
    "Redirect",
    "Run",
    "SignatureMismatch",
    "Task",
    "TaskCancelled",
    "TaskContext",
    "TaskFilter",
    "TaskInterrupted",
    "TaskOptions",
    "TaskTimeout",
    "current_context",
    "exponential",
    "has_failed",
    "register_context",
    "register_converter",
    "start_worker",
    "sweep",
    "task",
    "task_discarded",
    "task_rescued",
    "task_retrying",
    "with_worker",
    "work_off",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'errands' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
