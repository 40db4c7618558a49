"""Recording what became of tasks: many at once, in one transaction.

::

    records ──► locks of keys ──► back to ready │ to the results ──► promote
                     only where a task has a key, and so holds a slot

Every record names the token of its claim, and takes effect only while the row
has it. Where the answer to the COMMIT was lost, the batch is written again, and
what the results hold already, or what waits to be tried again, counts as written. One
record whose values the database refuses, such as a text it cannot store, costs the
others of its batch nothing. What else it refuses, it refuses everybody: a server that
only reads for a while, a table that is missing. That raises, as an outage does, and is
written when it is over.
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from django.db import DataError, IntegrityError, connections
from django.db.backends.utils import CursorWrapper

from errands.queue.committing.colliding import runs_again
from errands.queue.committing.transactions import brief
from errands.queue.committing.waking import wake, wake_upkeep
from errands.queue.limits import MOST_KEYS, STATEMENT_LIMIT
from errands.queue.records import Batch, Finish, Record, Requeue
from errands.queue.statements import Statements, cursor_of, statements_for
from errands.queue.statements.rows import places
from errands.queue.states import ResultStatus, TaskState
from errands.queue.writing.deciding import refused

logger = logging.getLogger("errands.queue")

WRITTEN_BY_RESCUES = {ResultStatus.CRASHED, ResultStatus.LOST}

type Written = dict[int, Record]


def write(alias: str, records: Sequence[Record]) -> Written:
    """Write records; return those that took effect, by id, as they were written.

    In one transaction, unless they are too long for one statement, or take too many
    locks. Those whose values the database refuses are halved until the record at
    fault stands alone; that task ends as failed, with the refusal as its error.
    """
    is_alone = len(records) == 1
    if not is_alone and _is_too_much(records):
        return _write_halves(alias, records)
    try:
        return _write(alias, records)
    except (DataError, IntegrityError) as error:
        if not is_alone:
            return _write_halves(alias, records)
        logger.exception("task row=%s cannot be written", records[0].id)
        return _write_refused(alias, refused(records[0], error))


def record(statements: Statements, cursor: CursorWrapper, batch: Batch) -> set[int]:
    """Write records in an open transaction; return the ids that took effect.

    What frees slots promotes who waits for them.
    """
    done, keys, finished = set[int](), batch.keys, batch.finished
    if keys:
        statements.lock_keys(cursor, keys)
    if batch.requeued:
        done |= statements.requeue(cursor, batch.requeued)
        lost = [each.lost for each in batch.requeued if each.id not in done]
        finished = [*finished, *filter(None, lost)]
    if finished:
        done |= statements.finish(cursor, finished)
    if batch.dropped:
        done |= statements.drop(cursor, batch.dropped)
    if keys:
        statements.promote(cursor, keys)
    return done


def _is_too_much(records: Sequence[Record]) -> bool:
    """Return whether to write them in several transactions."""
    keys = {each.concurrency_key for each in records}
    return len(keys) > MOST_KEYS or sum(map(_length, records)) > STATEMENT_LIMIT


def _write_halves(alias: str, records: Sequence[Record]) -> Written:
    half = len(records) // 2
    return write(alias, records[:half]) | write(alias, records[half:])


@runs_again
def _write(alias: str, records: Sequence[Record]) -> Written:
    connection, batch = connections[alias], Batch.of(records)
    with _transaction(alias, batch) as cursor:
        done = record(statements_for(connection), cursor, batch)
    if batch.keys or any(each.state == TaskState.READY for each in batch.requeued):
        wake(connection)
    if due := [at for each in batch.requeued if (at := _due_at(each)) is not None]:
        wake_upkeep(connection, min(due))
    missing = [
        each for each in records if each.id not in done and _is_of_an_attempt(each)
    ]
    done = done | _settled_before(alias, missing) if missing else done
    return {each.id: each for each in records if each.id in done}


def _write_refused(alias: str, ended: Finish) -> Written:
    """End a task whose record was refused; whatever comes of it, others go on."""
    try:
        return _write(alias, [ended])
    except (DataError, IntegrityError):
        logger.exception(
            "task row=%s cannot be ended either, and stays as it is. If there is an "
            "older result with its id, from before errands_task was emptied, let its "
            "ids begin behind those of errands_result",
            ended.id,
        )
        return {}


def _transaction(alias: str, batch: Batch) -> AbstractContextManager[CursorWrapper]:
    """Return one transaction; none where one statement does it all."""
    connection = connections[alias]
    needs_more = batch.keys or any(each.unless_started for each in batch.requeued)
    moves_at_once = statements_for(connection).moves_at_once
    if batch.is_of_one_kind and moves_at_once and not needs_more:
        return cursor_of(connection)
    return brief(alias)


def _length(record: Record) -> int:
    """Return its characters, but for the few of its numbers and names."""
    returned = record.return_value if isinstance(record, Finish) else None
    return len(returned or "") + len(record.errors) + len(record.metadata or "")


def _due_at(record: Record) -> datetime | None:
    """Return when a record has to be staged; None for what has not."""
    if isinstance(record, Requeue) and record.state == TaskState.SCHEDULED:
        return record.run_at
    return None


def _is_of_an_attempt(record: Record) -> bool:
    """Return whether it is how an attempt ended, and nobody else would write the same.

    Of two rescues both would take it for theirs, so they do not ask.
    """
    if isinstance(record, Finish):
        return record.status not in WRITTEN_BY_RESCUES
    return _due_at(record) is not None


def _settled_before(alias: str, missing: Sequence[Record]) -> set[int]:
    """Return those a lost answer hides: results, or rows that wait, as we wrote them.

    Under our token alone it may have been a rescue that wrote them. The next claim
    raises it: then nobody can tell. Where a result was to be dropped there is no row:
    if somebody else had taken the task over, it has succeeded all the same.
    """
    instant = statements_for(connections[alias]).instant
    written = {
        (each.id, each.token, getattr(each, "status", None), _due_at(each))
        for each in missing
    }
    ids = sorted({each.id for each in missing})
    among = f"id IN ({places(ids)})"
    with connections[alias].cursor() as cursor:
        cursor.execute(
            f"SELECT id, token, status, NULL FROM errands_result WHERE {among} "
            "UNION ALL "
            f"SELECT id, token, NULL, run_at FROM errands_task WHERE {among}",
            ids * 2,
        )
        rows = [(*row[:3], instant(row[3])) for row in cursor.fetchall()]
    gone = {each.id for each in missing if _is_dropped(each)} - {row[0] for row in rows}
    return gone.union(row[0] for row in rows if row in written)


def _is_dropped(record: Record) -> bool:
    return isinstance(record, Finish) and record.is_dropped
