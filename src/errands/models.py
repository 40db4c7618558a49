"""Gathers the models of all rooms for Django."""

from errands.queue.models import QueueRow, RateRow, ResultRow, TaskRow, WorkerRow
from errands.runs.models import Grant, Progress, Run, RunResult

__all__ = [
    "Grant",
    "Progress",
    "QueueRow",
    "RateRow",
    "ResultRow",
    "Run",
    "RunResult",
    "TaskRow",
    "WorkerRow",
]
