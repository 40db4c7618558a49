"""How many no-op tasks per second one worker process drains.

Measured from the first start to the last end that the engine itself recorded,
so that neither's start-up counts. Every result is read back afterwards.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import django_tasks_db.models
from django.db.models import Max, Min, QuerySet
from django.tasks import TaskResult, TaskResultStatus

from bench import tasks
from errands.queue.models import ResultRow


@dataclass(frozen=True, slots=True)
class Contender:
    """An engine: how many tasks it gets, how it runs them, what it recorded."""

    name: str
    tasks: int
    enqueue: Callable[[int], list[TaskResult]]
    worker: tuple[str, ...]
    recorded: Callable[[], QuerySet]


def _enqueue_ours(number: int) -> list[TaskResult]:
    return tasks.ours.enqueue_many([((), {})] * number)


def _enqueue_django_tasks_db(number: int) -> list[TaskResult]:
    return [tasks.django_tasks_db.enqueue() for _ in range(number)]


CONTENDERS = (
    Contender(
        "errands",
        10_000,
        _enqueue_ours,
        ("worker", "--burst", "--processes", "1"),
        ResultRow.objects.all,
    ),
    Contender(
        "django-tasks-db",
        1_000,
        _enqueue_django_tasks_db,
        ("db_worker", "--batch", "--backend", "django-tasks-db", "--no-startup-delay"),
        django_tasks_db.models.DBTaskResult.objects.all,
    ),
)


def drain(contender: Contender) -> float:
    """Return the tasks per second of one drain."""
    contender.recorded().delete()
    results = contender.enqueue(contender.tasks)
    subprocess.run(
        [sys.executable, "-m", "django", *contender.worker],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    _read_back(results)
    recorded = contender.recorded()
    span = recorded.aggregate(first=Min("started_at"), last=Max("finished_at"))
    seconds: float = (span["last"] - span["first"]).total_seconds()
    return contender.tasks / seconds


def _read_back(results: list[TaskResult]) -> None:
    for result in results:
        result.refresh()
        if result.status != TaskResultStatus.SUCCESSFUL:
            raise RuntimeError(f"{result.id} is {result.status}")
