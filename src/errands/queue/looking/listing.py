"""Single tasks, for people: what waits or runs, and what has ended.

What a task was called with is left out; it may be secret.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from django.db.models import Q, QuerySet

from errands import instants
from errands.instants import from_site
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements.rows import stored_errors
from errands.queue.states import ResultStatus, TaskState
from errands.text import clean_line

# What people look for first, each in the order in which it is started, or was.
LIVE = {
    TaskState.RUNNING: ("claimed_at", "id"),
    TaskState.SUSPECT: ("rank", "id"),
    TaskState.READY: ("rank", "id"),
    TaskState.BLOCKED: ("rank", "id"),
    TaskState.SCHEDULED: ("run_at", "id"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One task; ``when`` it is due, could start, was claimed or has ended."""

    id: UUID
    state: str
    queue: str
    path: str
    attempts: int
    when: datetime
    error: str
    """The last one, in one line."""


def listed(
    alias: str,
    *,
    state: TaskState | ResultStatus | None = None,
    queues: Sequence[str] = (),
    path: str | None = None,
    limit: int,
) -> list[Listed]:
    """Return tasks of a state, or without one all that have not ended.

    What runs comes first and what is scheduled last; of what has ended, the newest.
    """
    wanted = Q(queue__in=queues) if queues else Q()
    wanted &= Q() if path is None else Q(path=path)
    found = (
        row
        for rows in _in_order(alias, state)
        for row in rows.filter(wanted).defer("payload")[:limit]
    )
    return [_listed(row) for row in islice(found, limit)]


def _in_order(
    alias: str, state: TaskState | ResultStatus | None
) -> Iterator[QuerySet[TaskRow] | QuerySet[ResultRow]]:
    if isinstance(state, ResultStatus):
        # What is over waits for a worker to delete it.
        is_over = Q(expires_at__lte=instants.now())
        ended = ResultRow.objects.using(alias).filter(~is_over, status=state)
        # It may be a megabyte.
        yield ended.defer("return_value").order_by("-finished_at", "-id")
        return
    for each, order in LIVE.items():
        if state in {None, each}:
            yield TaskRow.objects.using(alias).filter(state=each).order_by(*order)


def _listed(row: TaskRow | ResultRow) -> Listed:
    state, when = _state_and_when(row)
    return Listed(
        row.uuid,
        state.name.lower(),
        row.queue,
        row.path,
        row.attempt,
        from_site(when),
        _last_error(row.errors),
    )


def _state_and_when(
    row: TaskRow | ResultRow,
) -> tuple[TaskState | ResultStatus, datetime]:
    if isinstance(row, ResultRow):
        return ResultStatus(row.status), row.finished_at
    state = TaskState(row.state)
    is_claimed = state == TaskState.RUNNING
    return state, (row.claimed_at if is_claimed else row.run_at) or row.enqueued_at


def _last_error(stored: str) -> str:
    errors = stored_errors(stored)
    if not errors:
        return ""
    kind = errors[-1]["exception_class_path"]
    # What was never raised has no frames above its line.
    trace = f"\n{errors[-1]['traceback']}"
    for name in _names(kind):
        _, said, message = trace.rpartition(f"\n{name}")
        if said:
            return clean_line(said + message)
    return clean_line(kind)


def _names(kind: str) -> list[str]:
    """Return what its line may call an error, the longest name first.

    Python leaves out where built-in ones are; of one that cannot be formatted its
    class alone is told.
    """
    parts = kind.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]
