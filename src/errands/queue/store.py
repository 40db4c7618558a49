"""The queue of one backend, as its workers see it.

::

    enqueue ──► scheduled ──stage──► ready ──claim──► running ──finish──► result
                    ▲                  ▲                 │
                    └──── retry ───────┴──── release ────┘

Who may write what: anybody inserts; a *claim* takes a ready row and raises its
token; from then on only who holds that token may write the row, and every such
write is ``WHERE id AND token AND state = running``. A rescue takes the row
back first, after which the old token matches nothing.

If a worker dies before a claim commits, nothing was taken. If it dies after,
its lease expires and the row is rescued. If it dies while settling, the
transaction either moved the row or did not; an answer that was lost is read
back by (id, token). Not promised: that a task runs once. An attempt whose
worker lost its lease may still be running when the next one starts.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import batched
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from errands.queue.backend import backends
from errands.queue.claiming.horizon import Horizon
from errands.queue.claiming.selection import EVERY_QUEUE, Selection
from errands.queue.claims import Claim, Settlement
from errands.queue.committing.colliding import runs_again
from errands.queue.committing.transactions import (
    after_commit,
    brief,
    cut_off_when_silent,
    limit_silence,
)
from errands.queue.committing.waking import wake
from errands.queue.limits import MOST_KEYS
from errands.queue.looking.remaining import anything_left
from errands.queue.names import queue_name
from errands.queue.records import Batch, Finish, Record
from errands.queue.statements import Statements, cursor_of, statements_for
from errands.queue.statements.rows import IS_RUNNING, Claimed, ClaimFilter
from errands.queue.states import ResultStatus, TaskState
from errands.queue.throttling import rates
from errands.queue.throttling.concurrency import start_keyed, unblock
from errands.queue.throttling.pausing import pause, paused, queue_names, resume
from errands.queue.writing.deciding import as_written, record_of, released
from errands.queue.writing.pruning import BATCH, prune
from errands.queue.writing.settling import Written, record, write
from errands.tasks.rates import Rate

logger = logging.getLogger("errands.queue")

ROUNDS = 10
# What upkeep has to look after.
TENDED = TaskState.RUNNING, TaskState.BLOCKED, TaskState.SUSPECT
IS_THERE = "EXISTS (SELECT 1 FROM errands_task WHERE state = {:d})"
WHICH_STATES = f"SELECT {', '.join(map(IS_THERE.format, TENDED))}"


class Store:
    """Claims, settles and tends the rows of one backend.

    Each method is one short transaction on the calling thread's connection
    and raises ``django.db.Error`` when the database is away.
    """

    def __init__(self, backend_alias: str) -> None:
        known = {backend.alias: backend for backend in backends()}
        if backend_alias not in known:
            raise ValueError(
                f"TASKS has no {backend_alias!r} that keeps tasks in a database. "
                f"Known: {', '.join(known) or 'none; set TASKS'}."
            )
        self.backend = known[backend_alias]
        self.alias = self.backend.database_alias

    def claim(
        self,
        worker_id: UUID,
        selection: Selection,
        limit: int,
        *,
        horizon: Horizon | None = None,
    ) -> list[Claim]:
        """Take up to ``limit`` tasks, emptying queues in the order named.

        A ``horizon`` keeps claims quick while a snapshot is old.
        """
        begin = horizon.claim if horizon and self.keeps_dead_entries else _at_the_front
        claims: list[Claim] = []
        for queue in selection.queues:
            if len(claims) < limit:
                wanted = _filter(
                    worker_id, selection, queue=queue, limit=limit - len(claims)
                )
                claims += begin(wanted, self._claim)
        return claims

    @property
    def keeps_dead_entries(self) -> bool:
        """Whether claims walk over what was claimed while a snapshot is old."""
        return self._statements.keeps_dead_entries

    def begin(self, claim: Claim) -> bool:
        """Note that the first line is about to run; False: the lease was lost.

        Such a task must not be run. For tasks that are never started twice.
        """
        return self._update(claim, "started_at", self._statements.now())

    def save_metadata(self, claim: Claim, text: str) -> bool:
        """Replace a running task's metadata; False: the lease was lost.

        Where a transaction is open, once it has committed: until then it would lock
        the row, and whoever cancels or rescues the task would have to wait.
        """
        if self._connection.in_atomic_block and not self._holds(claim):
            return False
        save = partial(self._update, claim, "metadata", text)
        return after_commit(self.alias, save)

    def take(self, key: str, rate: Rate) -> timedelta | None:
        """Count a start under a rate; or return how long to wait and ask again."""
        return rates.take(self.alias, key, rate)

    def cancel_requests(self, worker_id: UUID) -> list[tuple[int, int]]:
        """Return id and token of what a worker runs and somebody has cancelled."""
        with self._cursor() as cursor:
            cursor.execute(
                f"SELECT id, token FROM errands_task WHERE worker = %s "
                f"AND state = {TaskState.RUNNING:d} AND cancel_requested_at IS NOT NULL",
                [worker_id.hex],
            )
            return list(cursor.fetchall())

    def settle(self, settlements: Sequence[Settlement]) -> dict[int, Settlement]:
        """Record how attempts ended; return what was recorded, by the tasks' ids.

        One transaction for all, but for what is too long, or refused: that has failed.
        An id that is missing from the answer had been taken over: what its attempt did
        is not recorded.
        """
        written = self.write([record_of(settlement) for settlement in settlements])
        return {
            each.claim.id: as_written(each, written[each.claim.id])
            for each in settlements
            if each.claim.id in written
        }

    def settle_within(self, settlement: Settlement) -> bool:
        """Record how an attempt ended in the caller's open transaction.

        False when the lease was lost: then roll it back.
        """
        ended = record_of(settlement)
        if isinstance(ended, Finish):
            # If the answer to COMMIT is lost, the result says so.
            ended = ended.as_result()
        with cut_off_when_silent(self.alias), self._cursor() as cursor:
            limit_silence(cursor)
            has_settled = bool(record(self._statements, cursor, Batch.of([ended])))
        if has_settled and settlement.claim.concurrency_key is not None:
            # Who waited for its slot may be for others to take.
            wake(self._connection)
        return has_settled

    def was_settled(self, claim: Claim) -> bool:
        """Return whether the results hold this attempt's success; for a lost COMMIT.

        A rescue that ended the task, or who cancelled it after one, wrote under the
        same token.
        """
        ended = "SELECT status FROM errands_result WHERE id = %s AND token = %s"
        status = self._value(ended, [claim.id, claim.token])
        return bool(status == ResultStatus.SUCCEEDED)

    def release(self, claims: Sequence[Claim]) -> int:
        """Give claims back that were not started; it costs them nothing."""
        return len(self.write([released(claim) for claim in claims]))

    def write(self, records: Sequence[Record]) -> Written:
        """Write records; return those that took effect, by id, as they were written."""
        return write(self.alias, records)

    @runs_again
    def stage(self, limit: int = BATCH) -> int:
        """Make due tasks ready, oldest first; return how many."""
        with self._cursor() as cursor:
            return self._statements.stage(cursor, limit)

    def next_due(self) -> timedelta | None:
        """Return how long until a scheduled task is due, None without any."""
        with self._cursor() as cursor:
            cursor.execute(
                f"SELECT run_at, {self._statements.clock} FROM errands_task "
                f"WHERE state = {TaskState.SCHEDULED:d} ORDER BY run_at LIMIT 1",
                [],
            )
            row = cursor.fetchone()
        if row is None:
            return None
        due_at, now = map(self._statements.instant, row)
        return max(due_at - now, timedelta())  # type: ignore[operator]

    def is_drained(self, selection: Selection) -> bool:
        """Return whether nothing of the selection is ready, due, blocked or running.

        What waits in a paused queue does not count.
        """
        query, parameters = anything_left(
            selection,
            paused=self.paused(),
            now=self._statements.now(),
        )
        return not self._value(query, parameters)

    def paused(self) -> frozenset[str]:
        """Return the queues that somebody has paused."""
        return paused(self.alias)

    def pause(self, name: str) -> bool:
        """Let no worker start a task of a queue; False: it was paused before.

        What runs goes on.
        """
        return pause(self.alias, queue_name(name))

    def resume(self, name: str) -> bool:
        """Let workers start tasks of a paused queue again; False: it was not paused."""
        # A queue that was paused may have a name that is refused now.
        if name not in self.paused():
            queue_name(name)
        return resume(self.alias, name)

    def retry(self, uuid: UUID | str) -> bool:
        """Make an ended task ready again.

        False where it has not ended, or a live task has its unique key.
        """
        return self.backend.retry(uuid)

    def discard(self, uuid: UUID | str) -> bool:
        """Drop a task that does not run, or its result; False while it runs."""
        return self.backend.discard(uuid)

    def unblock(self) -> int:
        """Promote what waits for a slot that is free; return how many.

        Ending a task does so at once; this is for what nobody ended.
        """
        return unblock(self.alias)

    def queue_names(self) -> list[str]:
        """Return the queues that have ready tasks, by steps through the index."""
        return queue_names(self.alias)

    def held_by(self, worker: str, limit: int = BATCH) -> list[Claim]:
        """Return what a worker holds."""
        with self._cursor() as cursor:
            return self._statements.running(cursor, worker, limit)

    @runs_again
    def hand_over(self, worker_id: UUID, *, to: UUID) -> int:
        """Let what one id holds be held by another; return how many tasks.

        What has been rescued is not held any more. Tokens stay.
        """
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE errands_task SET worker = %s "
                f"WHERE worker = %s AND state = {TaskState.RUNNING:d}",
                [to.hex, worker_id.hex],
            )
            return int(cursor.rowcount)

    def states(self) -> set[TaskState]:
        """Return which of running, blocked and suspect tasks there are."""
        with self._cursor() as cursor:
            cursor.execute(WHICH_STATES)
            found = zip(TENDED, cursor.fetchone(), strict=True)
            return {state for state, is_there in found if is_there}

    def holders(self) -> set[str]:
        """Return the ids of all workers that hold a task."""
        with self._cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT worker FROM errands_task "
                "WHERE worker IS NOT NULL AND state = %s",
                [TaskState.RUNNING],
            )
            return {row[0] for row in cursor.fetchall()}

    def prune(self, limit: int = BATCH) -> int:
        """Delete a batch of results that are older than they are kept."""
        return prune(self.alias, limit)

    def _claim(self, wanted: ClaimFilter) -> list[Claim]:
        """Take what of one queue can start, past tasks whose key is full."""
        claims: list[Claim] = []
        for _ in range(ROUNDS):
            room = replace(wanted, limit=wanted.limit - len(claims))
            claimed = self._take(room)
            claims += claimed.claims
            if not claimed.keyed:
                return claims
            for keyed in batched(claimed.keyed, MOST_KEYS):
                claims += self._start(keyed, replace(wanted, limit=BATCH))
            if len(claims) >= wanted.limit:
                break
        return sorted(claims, key=lambda claim: (-claim.priority, claim.id))

    @runs_again
    def _take(self, wanted: ClaimFilter) -> Claimed:
        with self._cursor() as cursor:
            return self._statements.claim(cursor, wanted)

    @runs_again
    def _start(
        self, keyed: Sequence[tuple[int, str]], wanted: ClaimFilter
    ) -> list[Claim]:
        try:
            with brief(self.alias) as cursor:
                return start_keyed(self._statements, cursor, keyed=keyed, wanted=wanted)
        except IntegrityError:
            # Only where the isolation level lets us read slots of the past.
            logger.exception("a slot was taken twice; nothing was claimed")
            return []

    @runs_again
    def _update(self, claim: Claim, column: str, value: Any) -> bool:
        with self._cursor() as cursor:
            cursor.execute(
                f"UPDATE errands_task SET {column} = %s "
                f"WHERE id = %s AND token = %s AND {IS_RUNNING}",
                [value, claim.id, claim.token],
            )
            return bool(cursor.rowcount == 1)

    def _holds(self, claim: Claim) -> bool:
        mine = f"SELECT 1 FROM errands_task WHERE id = %s AND token = %s AND {IS_RUNNING}"
        return self._value(mine, [claim.id, claim.token]) is not None

    def _value(self, sql: str, params: Sequence[Any]) -> Any:
        with self._cursor() as cursor:
            cursor.execute(sql, params)
            row = cursor.fetchone()
        return row[0] if row else None

    def _cursor(self) -> CursorWrapper:
        return cursor_of(self._connection)

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def _statements(self) -> Statements:
        return statements_for(self._connection)


def _filter(
    worker_id: UUID, selection: Selection, *, queue: str, limit: int
) -> ClaimFilter:
    low, high = selection.ranks
    name = None if queue == EVERY_QUEUE else queue
    return ClaimFilter(worker_id.hex, limit, name, low, high)


def _at_the_front(
    wanted: ClaimFilter, claim: Callable[[ClaimFilter], list[Claim]]
) -> list[Claim]:
    return claim(wanted)
