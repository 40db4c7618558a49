"""``DatabaseBackend``: the contract of ``django.tasks``, kept in tables.

A backend is made anew in every thread and may be made before apps are ready,
so it holds no state and imports no models.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import connections, router
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic
from django.tasks import Task as DjangoTask
from django.tasks import TaskResult, TaskResultStatus, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished
from django.utils import timezone

from errands.exceptions import TaskCancelled
from errands.queue import checks as queue_checks
from errands.queue.claims import Claim, Payload, Settlement
from errands.queue.records import stored_error
from errands.queue.results import (
    DatabaseTaskResult,
    StoredResult,
    assign,
    errors_of,
    new_result,
    result_of,
)
from errands.queue.statements import Statements, statements_for
from errands.queue.states import TaskState
from errands.tasks.attempt import options_of
from errands.tasks.carried import capture
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Discarded,
    Failed,
    Succeeded,
)
from errands.tasks.registry import is_found_by_workers, registry
from errands.tasks.task import plain_task
from errands.text import clean_line

NAME_LIMIT = 100
PATH_LIMIT = 255
OPTIONS = ("DATABASE", "MAX_ATTEMPTS")

# One year inside what Python knows, so that no zone makes it unreadable.
EARLIEST, LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)


class UnfindableTask(UserWarning):
    """A task was enqueued that workers would not import."""


class DatabaseBackend(BaseTaskBackend):
    """Keeps tasks in the site's own database.

    ``OPTIONS``: ``DATABASE`` is the alias (default: the router's choice),
    ``MAX_ATTEMPTS`` the attempts of plain Django tasks (default 3). Without
    ``QUEUES`` any queue name is valid.
    """

    task_class = staticmethod(plain_task)  # type: ignore[assignment]
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    supports_cancel = True
    supports_enqueue_many = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, {"QUEUES": [], **params})

    @property
    def database_alias(self) -> str:
        """The alias of the database that holds this backend's tasks."""
        configured = self.options.get("DATABASE")
        row = apps.get_model("errands", "TaskRow")
        return str(configured or router.db_for_write(row))

    def validate_task(self, task: DjangoTask) -> None:
        """Refuse what cannot be stored, besides what Django refuses."""
        super().validate_task(task)
        if not _is_queue_name(task.queue_name):
            raise InvalidTask(
                f"Queue name {clean_line(task.queue_name)!r} is not valid: it is one "
                f"line of 1 to {NAME_LIMIT} characters, without ',' and '*', which "
                "mean something to a worker's --queues."
            )
        if len(task.module_path) > PATH_LIMIT:
            raise InvalidTask(
                f"{task.module_path!r} is longer than {PATH_LIMIT} characters."
            )

    def enqueue(
        self, task: DjangoTask, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> TaskResult:
        """Store a task: one INSERT, in the caller's transaction if there is one."""
        return self._store(task, [(args, kwargs)])[0]

    def enqueue_many(
        self,
        task: DjangoTask,
        calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    ) -> list[TaskResult]:
        """Store many calls of a task in one INSERT: all of them or none."""
        return self._store(task, calls) if calls else []

    def get_result(self, result_id: str) -> TaskResult:
        """Return a live or finished task; one statement reads both tables."""
        with self._cursor() as cursor:
            stored = self._read(cursor, result_id)
        return result_of(stored, backend=self.alias)

    def cancel(self, result_id: str) -> bool:
        """Cancel a waiting task for good; False once it runs or has ended."""
        error = AttemptError.of(TaskCancelled("Cancelled while it was waiting."))
        with atomic(using=self.database_alias), self._cursor() as cursor:
            stored = self._read(cursor, result_id)
            errors = [*stored.errors, stored_error(error)]
            if not self._statements.cancel(cursor, stored.uuid, json.dumps(errors)):
                return False
        if registry.find(stored.path) is not None:
            result = self.get_result(result_id)
            task_finished.send_robust(type(self), task_result=result)
        return True

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check the backend's options and its database."""
        return queue_checks.check_backend(self, known_options=OPTIONS)

    def result_for(self, claim: Claim, call: Payload, worker_name: str) -> TaskResult:
        """Return the RUNNING result of a claim, for its attempt and signals."""
        stored = StoredResult(
            uuid=claim.uuid,
            path=claim.path,
            call=call,
            queue=claim.queue,
            rank=-claim.priority,
            run_at=claim.run_at,
            enqueued_at=claim.enqueued_at,
            started_at=claim.started_at,
            claimed_at=claim.claimed_at,
            finished_at=None,
            errors=claim.errors,
            worker_ids=[*claim.worker_ids, worker_name],
            state=TaskState.RUNNING,
            status=None,
            return_value=None,
        )
        return result_of(stored, backend=self.alias)

    def finished_result(self, result: TaskResult, settlement: Settlement) -> None:
        """Bring a claim's result up to what its settlement says."""
        outcome = settlement.outcome
        match outcome:
            case Succeeded(return_value):
                status = TaskResultStatus.SUCCESSFUL
                assign(result, _return_value=return_value)
            case Failed(error) | Discarded(error) | Cancelled(error):
                status = TaskResultStatus.FAILED
                result.errors.extend(errors_of([stored_error(error)]))
            case _:
                return
        assign(result, status=status, finished_at=settlement.finished_at)

    def _store(
        self,
        task: DjangoTask,
        calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    ) -> list[TaskResult]:
        self.validate_task(task)
        _warn_if_unfindable(task)
        now, carried = timezone.now(), capture()
        results = [
            new_result(
                task,
                Payload(list(args), dict(kwargs), carried),
                uuid=uuid4(),
                enqueued_at=now,
                backend=self.alias,
            )
            for args, kwargs in calls
        ]
        self._insert(task, results, now=now, carried=carried)
        for result in results:
            task_enqueued.send_robust(type(self), task_result=result)
        return list(results)

    def _insert(
        self,
        task: DjangoTask,
        results: Sequence[DatabaseTaskResult],
        *,
        now: datetime,
        carried: Mapping[str, str],
    ) -> None:
        value = self._statements.value
        due_at = _storable(task.run_after)
        is_later = due_at is not None and due_at > now
        shared = (
            task.queue_name,
            -int(task.priority),
            task.module_path,
            value(now),
            value(due_at),
            options_of(task).max_attempts,
            TaskState.SCHEDULED if is_later else TaskState.READY,
        )
        stored = [
            (UUID(result.id), Payload(result.args, result.kwargs, carried).dump())
            for result in results
        ]
        with self._cursor() as cursor:
            if len(stored) == 1:
                self._statements.insert_one(cursor, shared, stored[0])
            else:
                self._statements.insert_many(cursor, shared, stored)

    def _read(self, cursor: CursorWrapper, result_id: str) -> StoredResult:
        try:
            stored = self._statements.read(cursor, UUID(result_id))
        except (ValueError, AttributeError, TypeError):
            stored = None
        if stored is None:
            raise TaskResultDoesNotExist(result_id)
        return stored

    def _cursor(self) -> CursorWrapper:
        return connections[self.database_alias].cursor()

    @property
    def _statements(self) -> Statements:
        return statements_for(connections[self.database_alias])


def backends() -> list[DatabaseBackend]:
    """Return the site's backends that are ours."""
    return [
        backend for backend in task_backends.all() if isinstance(backend, DatabaseBackend)
    ]


def _is_queue_name(name: str) -> bool:
    is_one_line = name == clean_line(name, NAME_LIMIT)
    return bool(name) and is_one_line and not set(name) & {",", "*"}


def _storable(run_after: datetime | None) -> datetime | None:
    """Return the instant as every database can hold and every zone can show it.

    Naive where the site's own instants are (``USE_TZ = False``).
    """
    if run_after is None:
        return None
    zone = UTC if timezone.is_aware(run_after) else None
    due_at = max(run_after, EARLIEST.replace(tzinfo=zone))
    due_at = min(due_at, LATEST.replace(tzinfo=zone))
    if zone is None or settings.USE_TZ:
        return due_at
    return timezone.make_naive(due_at, timezone.get_default_timezone())


def _warn_if_unfindable(task: DjangoTask) -> None:
    if not is_found_by_workers(task.func.__module__):
        warnings.warn(
            f"Workers will not find {task.module_path}: its module is not below "
            "'tasks' or 'jobs' of an installed app. Move it there, or add "
            f"{task.func.__module__!r} to ERRANDS['IMPORTS'].",
            UnfindableTask,
            stacklevel=5,
        )
