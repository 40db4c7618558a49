"""Queues that somebody has paused, and those that have something to do.

A pause is a row. Workers read the rows and leave those queues out of what they
claim; what runs goes on, and what is enqueued waits.
"""

from django.apps import apps
from django.db import connections
from django.db.models import Model, QuerySet

from errands import instants
from errands.queue.concurrency import unblock
from errands.queue.statements import statements_for
from errands.queue.states import TaskState
from errands.queue.waking import wake


def pause(alias: str, name: str) -> bool:
    """Pause a queue; False where it was paused before."""
    paused_at = {"paused_at": instants.now()}
    _, is_new = _rows(alias).get_or_create(name=name, defaults=paused_at)
    wake(connections[alias])
    return is_new


def resume(alias: str, name: str) -> bool:
    """Let a queue go on; False where it was not paused.

    With it go those of its tasks that wait for a free slot.
    """
    was_paused, _ = _rows(alias).filter(name=name).delete()
    unblock(alias)
    wake(connections[alias])
    return bool(was_paused)


def paused(alias: str) -> frozenset[str]:
    """Return the names of the paused queues."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT name FROM errands_queue")
        return frozenset(row[0] for row in cursor.fetchall())


def queue_names(alias: str) -> list[str]:
    """Return the queues that have ready tasks."""
    names = statements_for(connections[alias]).values_of_state.format(
        column="queue", state=TaskState.READY, index="errands_task_ready_in_queue"
    )
    with connections[alias].cursor() as cursor:
        cursor.execute(f"{names} SELECT value FROM found WHERE value IS NOT NULL")
        return [row[0] for row in cursor.fetchall()]


def _rows(alias: str) -> QuerySet[Model]:
    """Return the rows; the model is not there before apps are ready."""
    return apps.get_model("errands", "QueueRow")._default_manager.using(alias)
