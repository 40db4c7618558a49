"""What our own options make of one call, to be compared with one that waits."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.tasks import Task as DjangoTask

from errands.queue.claims import Payload
from errands.queue.models import TaskRow
from errands.queue.writing.keeping import keep_in_seconds
from errands.tasks.context import dump_metadata
from errands.tasks.keys import shared_key, unique_key
from errands.tasks.registry import registry
from errands.tasks.task import Call, Task

type Terms = Mapping[str, Any]
"""By the option's name; keys are those of the call, and ``keep`` is in seconds."""


def terms_of(task: DjangoTask | None, call: Call) -> Terms:
    """Return what a call has that is enqueued with the options of this task."""
    if not isinstance(task, Task):
        return {}
    options = task.options
    return {
        "max_attempts": options.max_attempts,
        "timeout": options.timeout,
        "unique": unique_key(task, *call),
        "concurrency": _shared(options.concurrency, task, call),
        "rate": _shared(options.rate, task, call),
        "keep": keep_in_seconds(options.keep),
        "metadata": json.loads(dump_metadata(dict(options.metadata))),
    }


def terms_of_row(row: TaskRow, stored: Payload) -> Terms:
    """Return what a stored call has; what it does not say, its task says."""
    told = dict(stored.options)
    if told.get("timeout") is not None:
        told["timeout"] = _as_long_as(told["timeout"])
    defined = registry.find(row.path)
    told["rate"] = tuple(told.get("rate") or ()) or None
    limit = row.concurrency_key, row.concurrency_limit
    return {
        **_said_by(defined),
        **told,
        "max_attempts": row.max_attempts,
        "unique": row.unique_key,
        "concurrency": None if row.concurrency_key is None else limit,
        "metadata": json.loads(row.metadata),
    }


def _said_by(defined: DjangoTask | None) -> Terms:
    if not isinstance(defined, Task):
        return {}
    options = defined.options
    return {"timeout": options.timeout, "keep": keep_in_seconds(options.keep)}


def _as_long_as(seconds: float) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        # As a float the longest of all is a little longer.
        return timedelta.max


def _shared(
    option: tuple[str, Any] | None, task: Task, call: Call
) -> tuple[str, Any] | None:
    return None if option is None else (shared_key(option[0], task, call), option[1])
