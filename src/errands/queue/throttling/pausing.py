"""Queues that somebody has paused, and those that have something to do.

A pause is a row. Workers read the rows and leave those queues out of what they
claim; what runs goes on, and what is enqueued waits.
"""

from functools import partial

from django.db import connections

from errands import instants
from errands.queue.committing.colliding import runs_again
from errands.queue.committing.transactions import after_commit
from errands.queue.committing.waking import wake
from errands.queue.statements import statements_for
from errands.queue.states import TaskState
from errands.queue.throttling.concurrency import unblock


@runs_again
def pause(alias: str, name: str) -> bool:
    """Pause a queue; False where it was paused before."""
    statements = statements_for(connections[alias])
    is_new = False
    # To meet its row in an INSERT would lock it on MySQL, until the caller commits.
    if name not in paused(alias):
        with connections[alias].cursor() as cursor:
            cursor.execute(
                f"{statements.insert_into} errands_queue (name, paused_at) "
                f"VALUES (%s, %s) {statements.unless_taken}",
                [name, statements.value(instants.now())],
            )
            is_new = cursor.rowcount == 1
    wake(connections[alias])
    return is_new


def resume(alias: str, name: str) -> bool:
    """Let a queue go on; False where it was not paused.

    With it go those of its tasks that wait for a free slot, once the caller has
    committed: that locks keys, which workers need to settle.
    """
    was_paused = _delete(alias, name)
    after_commit(alias, partial(unblock, alias))
    wake(connections[alias])
    return was_paused


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


@runs_again
def _delete(alias: str, name: str) -> bool:
    with connections[alias].cursor() as cursor:
        cursor.execute("DELETE FROM errands_queue WHERE name = %s", [name])
        return bool(cursor.rowcount == 1)
