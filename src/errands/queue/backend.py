"""``DatabaseBackend``: the contract of ``django.tasks``, kept in tables.

A backend is made anew in every thread and may be made before apps are ready,
so it keeps nothing that others must know, and imports no models.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core import checks
from django.db import OperationalError, connections, router
from django.db.models import Model
from django.tasks import Task as DjangoTask
from django.tasks import TaskResult, TaskResultStatus, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued, task_finished

from errands import instants
from errands.instants import for_site
from errands.queue import checks as queue_checks
from errands.queue.claims import Claim, Payload, Settlement
from errands.queue.committing.transactions import after_commit
from errands.queue.committing.waking import wake, wake_upkeep
from errands.queue.limits import PATH_LIMIT
from errands.queue.looking.results import (
    LateResults,
    assign,
    errors_of,
    new_result,
    result_if_known,
    result_of,
    running_result,
)
from errands.queue.names import ONE_NAME, is_queue_name
from errands.queue.statements import Statements, statements_for
from errands.queue.statements.rows import StoredResult
from errands.queue.states import ResultStatus, TaskState
from errands.queue.writing.deciding import stored_error
from errands.queue.writing.enqueueing import Enqueueing, Template, plain_calls
from errands.queue.writing.interventions import (
    forget,
    holder,
    request_cancel,
    revive,
    withdraw,
)
from errands.tasks.hearing import is_heard
from errands.tasks.outcomes import Cancelled, Discarded, Failed, Succeeded
from errands.tasks.registry import is_found_by_workers, registry
from errands.tasks.signals import task_discarded
from errands.tasks.task import Task, plain_task
from errands.text import clean_line

OPTIONS = ("DATABASE", "MAX_ATTEMPTS")


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
        self.params = params
        super().__init__(alias, params | queue_checks.usable(params))
        self._template: Template | None = None

    @property
    def database_alias(self) -> str:
        """The alias of the database that holds this backend's tasks."""
        configured = self.options.get("DATABASE")
        return str(configured or router.db_for_write(_row_model()))

    def validate_task(self, task: DjangoTask) -> None:
        """Refuse what cannot be stored, besides what Django refuses."""
        super().validate_task(task)
        if task.func.__name__ == "<lambda>":
            raise InvalidTask(
                f"A lambda of {task.func.__module__} has no name of its own, and a "
                "worker finds a task by its name. Make it a function with def."
            )
        if not is_queue_name(task.queue_name):
            raise InvalidTask(
                f"Queue name {clean_line(repr(task.queue_name))} is not valid: it is "
                f"{ONE_NAME}, which mean something to a worker's --queues."
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
    ) -> Sequence[TaskResult]:
        """Store many calls of a task in one INSERT: all of them or none.

        Of calls with the same unique key one is stored. The results are made
        when somebody looks at them.
        """
        return self._store(task, calls) if calls else []

    def get_result(self, result_id: str | UUID) -> TaskResult:
        """Return a live or finished task; one statement reads both tables.

        A result that has expired does not exist, whether or not it has been
        deleted already.
        """
        return result_of(self._read(result_id), backend=self.alias)

    def last_result(self, result_id: str | UUID) -> TaskResult:
        """Return the same, though it may have expired; for what must still be told."""
        return result_of(self._stored(result_id), backend=self.alias)

    def cancel(self, result_id: str | UUID) -> bool:
        """Cancel a task; False where it has ended.

        A waiting task is cancelled for good. A running one is asked to stop:
        its attempt sees it at the next checkpoint, and may end otherwise. The
        caller's transaction has to commit first.
        """
        stored = self._read(result_id)
        while stored.status is None:
            if self._withdraw(stored, ResultStatus.CANCELLED):
                return True
            again = partial(self.cancel, result_id)
            if request_cancel(self.database_alias, stored.uuid, otherwise=again):
                return True
            stored = self._read_changed(stored)
        return False

    def retry(self, result_id: str | UUID) -> bool:
        """Make an ended task ready again, with all its attempts before it.

        False where it has not ended, a live task has its unique key, or it is a
        job's: what its owner was told stays as it is.
        """
        stored = self._read(result_id)
        if stored.status is None or registry.is_of_a_job(stored.path):
            return False
        return revive(self.database_alias, stored.uuid)

    def is_of_a_job(self, result_id: str | UUID) -> bool:
        """Return whether a task is a job's, as far as this process knows the job."""
        return registry.is_of_a_job(self._read(result_id).path)

    def key_holder(self, result_id: str | UUID) -> str | None:
        """Return the id of the live task that has a task's unique key, if one has."""
        found = holder(self.database_alias, self._read(result_id).uuid)
        return None if found is None else str(found)

    def discard(self, result_id: str | UUID) -> bool:
        """Drop what waits, as discarded, or the result of what has ended.

        False while it runs: cancel it.
        """
        stored = self._read(result_id)
        while stored.status is None:
            if self._withdraw(stored, ResultStatus.DISCARDED):
                return True
            if stored.state == TaskState.RUNNING:
                return False
            stored = self._read_changed(stored)
        return forget(self.database_alias, stored.uuid)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check the backend's options and its database."""
        return queue_checks.check_backend(self, known_options=OPTIONS)

    def result_for(
        self, task: DjangoTask, claim: Claim, call: Payload, *, worker_name: str
    ) -> TaskResult:
        """Return the RUNNING result of a claim of a task, for its attempt and signals."""
        return running_result(
            task, claim, call, worker_name=worker_name, backend=self.alias
        )

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
        finished_at = for_site(settlement.finished_at)
        assign(result, status=status, finished_at=finished_at)

    def _store(
        self,
        task: DjangoTask,
        calls: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    ) -> Sequence[TaskResult]:
        if isinstance(task, Task) and task.due_in is not None:
            task = task.due()
        connection, template = connections[self.database_alias], self._template_of(task)
        if not isinstance(task, Task):
            calls = plain_calls(calls)
        new = Enqueueing.of(template)
        rows = new.rows(calls)
        owners = new.insert(connection, rows)
        if len(owners) < len(rows):
            is_later, due_at = new.is_later, template.due_at
            wake_upkeep(connection, due_at) if is_later else wake(connection)
        make = partial(new_result, task, enqueued_at=new.now, backend=self.alias)
        is_told = is_heard(task_enqueued)
        if len(rows) > 1 and isinstance(task, Task) and not (owners or is_told):
            return LateResults(make, rows, calls)
        results = [
            result_of(owners[row.uuid], backend=self.alias)
            if row.uuid in owners
            else make(row, call)
            for row, call in zip(rows, calls, strict=True)
        ]
        if is_told:
            for row, result in zip(rows, results, strict=True):
                if row.uuid not in owners:
                    task_enqueued.send_robust(type(self), task_result=result)
        return results

    def _template_of(self, task: DjangoTask) -> Template:
        """Return the template of a task, found valid unless it was that very object."""
        # Read once: threads of async code share a backend.
        template = self._template
        if template is None or template.task is not task:
            self.validate_task(task)
            _warn_if_unfindable(task)
            template = self._template = Template.of(task)
        return template

    def _withdraw(self, stored: StoredResult, status: ResultStatus) -> bool:
        ended = withdraw(self.database_alias, stored, status)
        if ended is None:
            return False
        result = result_if_known(ended, backend=self.alias)
        if result is not None:
            tell = partial(self._tell_of_withdrawal, result, status)
            after_commit(self.database_alias, tell)
        return True

    def _tell_of_withdrawal(self, result: TaskResult, status: ResultStatus) -> None:
        if status == ResultStatus.DISCARDED:
            task_discarded.send_robust(type(self), task_result=result)
        task_finished.send_robust(type(self), task_result=result)

    def _read(self, result_id: str | UUID) -> StoredResult:
        stored = self._stored(result_id)
        if stored.expires_at is not None and stored.expires_at <= instants.now():
            raise TaskResultDoesNotExist(result_id)
        return stored

    def _read_changed(self, seen: StoredResult) -> StoredResult:
        """Return a task whose attempt began or ended since it was seen.

        ``OperationalError`` in a transaction that sees the past: it would see the same
        for ever.
        """
        stored = self._read(seen.uuid)
        if stored == seen:
            raise OperationalError(
                f"{seen.uuid} has changed since this transaction began, which cannot see "
                "it: it reads the past, as above READ COMMITTED. Run it again."
            )
        return stored

    def _stored(self, result_id: str | UUID) -> StoredResult:
        uuid = _uuid(result_id)
        with connections[self.database_alias].cursor() as cursor:
            stored = self._statements.read(cursor, [uuid]).get(uuid)
        if stored is None:
            raise TaskResultDoesNotExist(result_id)
        return stored

    @property
    def _statements(self) -> Statements:
        return statements_for(connections[self.database_alias])


def backends() -> list[DatabaseBackend]:
    """Return the site's backends that are ours."""
    return [
        backend for backend in task_backends.all() if isinstance(backend, DatabaseBackend)
    ]


@cache
def _row_model() -> type[Model]:
    return apps.get_model("errands", "TaskRow")


def _uuid(result_id: object) -> UUID:
    """Return an id as it is stored; ``TaskResultDoesNotExist`` for what is none."""
    if isinstance(result_id, UUID):
        return result_id
    try:
        return UUID(result_id)  # type: ignore[arg-type]
    except (ValueError, AttributeError, TypeError):
        raise TaskResultDoesNotExist(
            f"{result_id!r:.60} is no id of a task: that is a text or a UUID, such as "
            "result.id."
        ) from None


def _warn_if_unfindable(task: DjangoTask) -> None:
    if not is_found_by_workers(task.func.__module__):
        warnings.warn(
            f"Workers will not find {task.module_path}: its module is not below "
            "'tasks' or 'jobs' of an installed app. Move it there, or add "
            f"{task.func.__module__!r} to ERRANDS['IMPORTS'].",
            UnfindableTask,
            stacklevel=6,
        )
