"""What somebody does to one task from outside: cancel, retry, discard.

::

    scheduled, ready, blocked ──cancel, discard──► result
    running ──cancel──► running, cancel requested ──► the attempt ends it
    result ──retry──► ready            result ──discard──► gone

All of it is part of the caller's transaction, but for one thing: the request to
cancel a running task is written after its commit. The row belongs to a worker,
and a transaction that stays open must not keep the worker from settling.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

from django.db import connections, transaction

from errands import instants
from errands.exceptions import TaskCancelled
from errands.queue.committing.colliding import runs_again
from errands.queue.committing.transactions import after_commit, brief
from errands.queue.committing.waking import wake, wake_upkeep
from errands.queue.statements import statements_for
from errands.queue.statements.rows import (
    IS_RUNNING,
    SHARED_COLUMNS,
    ZEROED_COLUMNS,
    StoredResult,
    Withdrawal,
    as_uuid,
)
from errands.queue.states import ResultStatus, TaskState
from errands.queue.throttling.concurrency import promote
from errands.queue.writing.deciding import ERRORS_KEPT, stored_error
from errands.queue.writing.keeping import expiry, kept
from errands.tasks.outcomes import AttemptError

# Errors stay: what went wrong before is told beside what goes wrong next.
KEPT_BY_RETRY = f"id, {SHARED_COLUMNS}, errors, metadata"
SET_BY_RETRY = [
    name for name in ZEROED_COLUMNS.split(", ") if name not in {"token", "errors"}
]


@runs_again
def withdraw(
    alias: str, stored: StoredResult, status: ResultStatus
) -> StoredResult | None:
    """End a task that waits, as it was read.

    None where it runs, has ended, or an attempt was made since it was read.
    """
    how = "Cancelled" if status == ResultStatus.CANCELLED else "Discarded"
    error = AttemptError.of(TaskCancelled(f"{how} while it was waiting."))
    now = instants.now()
    errors = [*stored.errors, stored_error(error)][-ERRORS_KEPT:]
    ended = Withdrawal(
        token=stored.token,
        status=status,
        errors=json.dumps(errors),
        finished_at=now,
        expires_at=expiry(now, kept(stored.path, stored.payload, has_succeeded=False)),
    )
    statements = statements_for(connections[alias])
    with brief(alias) as cursor:
        if not statements.withdraw(cursor, stored.uuid, ended):
            return None
    if stored.concurrency_key is not None:
        # It may have been let through, and would have let the next one through.
        after_commit(alias, partial(promote, alias, [stored.concurrency_key]))
    return replace(stored, state=None, status=status, finished_at=now, errors=errors)


def request_cancel(alias: str, uuid: UUID, *, otherwise: Callable[[], bool]) -> bool:
    """Ask the attempt of a running task to stop, once the caller has committed.

    False where it does not run. If it ends in a retry or is given back, the
    next attempt is not made; ``otherwise`` is called where that has happened
    before it could be asked, and decides where nothing has to be committed first.
    """
    sql = f"SELECT 1 FROM errands_task WHERE uuid = %s AND {IS_RUNNING}"
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, [statements_for(connections[alias]).value(uuid)])
        if cursor.fetchone() is None:
            return False
    return after_commit(alias, partial(_request, alias, uuid, otherwise))


@runs_again
def revive(alias: str, uuid: UUID) -> bool:
    """Make an ended task ready, with all its attempts before it.

    False where it has not ended, or another live task has its unique key.
    """
    statements = statements_for(connections[alias])
    key, now = statements.value(uuid), statements.now()
    columns = f"{KEPT_BY_RETRY}, token, {', '.join(SET_BY_RETRY)}, state"
    with brief(alias) as cursor:
        cursor.execute(
            f"{statements.insert_into} errands_task ({columns}) "
            f"SELECT {KEPT_BY_RETRY}, token, 0, 0, 0, '[]', {TaskState.READY:d} "
            f"FROM errands_result WHERE uuid = %s {statements.unless_taken}",
            [key],
        )
        if cursor.rowcount != 1:
            return False
        cursor.execute("UPDATE errands_task SET run_at = %s WHERE uuid = %s", [now, key])
        cursor.execute("DELETE FROM errands_result WHERE uuid = %s", [key])
        if cursor.rowcount != 1:
            # Somebody has discarded it, or made it ready, since it was read.
            transaction.set_rollback(True, using=alias)
            return False
    wake(connections[alias])
    return True


def holder(alias: str, uuid: UUID) -> UUID | None:
    """Return which live task has the unique key of an ended one."""
    sql = (
        "SELECT t.uuid FROM errands_result r "
        "JOIN errands_task t ON t.unique_key = r.unique_key WHERE r.uuid = %s"
    )
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, [statements_for(connections[alias]).value(uuid)])
        row = cursor.fetchone()
    return None if row is None else as_uuid(row[0])


@runs_again
def forget(alias: str, uuid: UUID) -> bool:
    """Delete the result of an ended task; False where there is none."""
    statements = statements_for(connections[alias])
    with connections[alias].cursor() as cursor:
        sql = "DELETE FROM errands_result WHERE uuid = %s"
        cursor.execute(sql, [statements.value(uuid)])
        return bool(cursor.rowcount == 1)


@runs_again
def _request(alias: str, uuid: UUID, otherwise: Callable[[], bool]) -> bool:
    statements = statements_for(connections[alias])
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "UPDATE errands_task SET cancel_requested_at = %s "
            f"WHERE uuid = %s AND {IS_RUNNING}",
            [statements.now(), statements.value(uuid)],
        )
        was_running = cursor.rowcount == 1
    if was_running:
        wake_upkeep(connections[alias])
    return was_running or otherwise()
