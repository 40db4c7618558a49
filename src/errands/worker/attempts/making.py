"""From a claim to an attempt that has ended, whatever happens in between.

::

    claim ──prepare──► Attempt ──run───► Attempted      in an executor's thread
                │              ──arun──► Attempted      on the event loop
                └────────────► Attempted                it is not tried here now

Nothing that belongs to an attempt stays behind: it runs in a copy of the
thread's context, and database connections are cleaned after it. What it has
changed for the whole process is put back when no other runs.
"""

import logging
import time
from asyncio import CancelledError, all_tasks, current_task, wait
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import InterfaceError, InternalError, OperationalError
from django.tasks.signals import task_started

from errands.conf import settings
from errands.exceptions import DecodeError, TaskCancelled, UnknownTask
from errands.queue.claims import Claim, Payload
from errands.tasks.attempt import aperform, options_of, perform
from errands.tasks.context import TaskContext
from errands.tasks.hearing import is_heard
from errands.tasks.interrupting import Control
from errands.tasks.keys import KEY_LIMIT
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Failed,
    Outcome,
    Snoozed,
    Succeeded,
)
from errands.tasks.rates import Rate
from errands.tasks.registry import registry
from errands.tasks.signals import tell
from errands.tasks.signature import is_coroutine
from errands.worker.attempts import leftovers
from errands.worker.attempts.attempt import Attempt
from errands.worker.attempts.cancelling import AttemptTask
from errands.worker.attempts.mysql_sessions import closed_when_cut_off
from errands.worker.attempts.oversight import Oversight, Watch
from errands.worker.attempts.surroundings import Surroundings
from errands.worker.attempts.transactional import in_one_transaction
from errands.worker.connections import (
    clean_connections,
    kept,
    renew_connections,
)
from errands.worker.workplace import Attempted, Workplace

logger = logging.getLogger("errands.worker")

UNKNOWN_TASK_PAUSE = timedelta(seconds=60)
OUTAGE_PAUSE = timedelta(seconds=5)
# The last is what PostgreSQL says while it only reads, as after a failover.
AWAY = OperationalError, InterfaceError, InternalError
# A key of the metadata that no task may use: when a worker first had no such task.
MISSED_SINCE = "_missed_since"


class Attempts:
    """Makes the attempts of one process, in any of its threads."""

    def __init__(
        self, workplace: Workplace, *, may_start: Callable[[], bool] = lambda: True
    ) -> None:
        self._workplace = workplace
        self._may_start = may_start
        self._backend = workplace.store.backend
        self._missed: set[str] = set()
        self._oversight = Oversight(workplace)
        # A process without a supervisor is somebody else's.
        is_ours = workplace.slots.path is not None
        self._surroundings = Surroundings() if is_ours else None

    def prepare(self, claim: Claim) -> Attempt | Attempted:
        """Return an attempt that may start, or how it ended without one.

        Never raises. A task that is unknown here, over its rate, or whose
        permission to start the database did not give in an outage is given
        back uncharged; so is one that waited in this process until its lease
        may have ended, as after a SIGSTOP.
        """
        attempt = Attempt(claim, self._workplace.name)
        if not self._may_start():
            # Others may have it by now; should we be alive, they get it back.
            return attempt.ended(Snoozed(timedelta()))
        try:
            if self._surroundings and not self._workplace.controls:
                self._surroundings.restore()
            renew_connections()
            return attempt.context.run(self._prepared, attempt)
        except AWAY:
            logger.warning("Task id=%s could not be prepared", claim.uuid, exc_info=True)
            kept.distrust()
            clean_connections()
            return attempt.ended(_not_before(claim, OUTAGE_PAUSE))
        except BaseException as escaped:  # noqa: BLE001 - logged
            return self._broken(attempt, escaped)

    def make(
        self, claim: Claim, *, begins: Callable[[Attempt], None] | None = None
    ) -> Attempted:
        """Make a whole attempt in this thread, at an async task too; never raises.

        ``begins`` is called with it before its first line runs.
        """
        ready = self.prepare(claim)
        if isinstance(ready, Attempted):
            return ready
        if begins is not None:
            begins(ready)
        return self.run(ready)

    def run(self, attempt: Attempt, place: int = 0) -> Attempted:
        """Run an attempt in this thread; never raises.

        A coroutine gets a loop of its own; what it does in ``sync_to_async`` is
        done in this thread.
        """
        try:
            if attempt.is_async:
                return attempt.context.run(async_to_sync(self._arun), attempt, place)
            with Watch(self._oversight, attempt, place) as watch:
                return attempt.context.run(self._run, attempt, watch)
        except BaseException as escaped:  # noqa: BLE001 - logged
            with suppress(Exception):
                clean_connections()
            return self._broken(attempt, escaped)

    async def arun(self, attempt: Attempt, place: int) -> Attempted:
        """Run an attempt at an async task on this loop; never raises."""
        try:
            left_open: list[str] = []
            await _renewed()
            with Watch(self._oversight, attempt, place) as watch:
                watch.start_time()
                performing = aperform(
                    attempt.task,
                    self._context(attempt),
                    carried=attempt.call.carried,
                    max_attempts=attempt.claim.max_attempts,
                )
                outcome = await _alone(performing)
                if attempt.was_interrupted:
                    # The thread may still be busy with what it was cut off from,
                    # and is watched meanwhile.
                    left_open += await sync_to_async(clean_connections)()
            left_open += await sync_to_async(clean_connections)()
            kept.leave()
            return attempt.ended(attempt.judged(outcome, left_open))
        except GeneratorExit:
            raise
        except BaseException as escaped:  # noqa: BLE001 - logged
            return self._broken(attempt, escaped)

    async def _arun(self, attempt: Attempt, place: int) -> Attempted:
        """Run an attempt on a loop of its own, which ends with it.

        Where the thread works for a coroutine, it is that one's loop, and whatever
        else is there stays.
        """
        is_own = all_tasks() == {current_task()}
        attempted = await self.arun(attempt, place)
        if is_own:
            with suppress(CancelledError):
                await leftovers.end(all_tasks() - {current_task()})
        return attempted

    def _prepared(self, attempt: Attempt) -> Attempt | Attempted:
        claim = attempt.claim
        task = registry.find(claim.path)
        if task is None:
            return attempt.ended(self._unknown(claim))
        claim.metadata.pop(MISSED_SINCE, None)
        attempt.task, attempt.call = task, Payload.parse(claim.payload)
        attempt.options, attempt.is_async = options_of(task), is_coroutine(task.func)
        attempt.result = self._backend.result_for(
            task, claim, attempt.call, worker_name=attempt.worker
        )
        if (wait := self._wait_for_rate(attempt.call)) is not None:
            return attempt.ended(_not_before(claim, wait))
        attempt.control = Control(self._workplace.stop.control)
        if claim.cancel_requested:
            attempt.control.interrupt(TaskCancelled)
        if claim.at_most_once and not self._workplace.store.begin(claim):
            return attempt.lost()
        self._announce_start(attempt)
        return attempt

    def _announce_start(self, attempt: Attempt) -> None:
        """Tell receivers; what they raise, or leave open, costs the task nothing."""
        if is_heard(task_started):
            tell(task_started, type(self._backend), task_result=attempt.result)
            if left_open := clean_connections():
                logger.warning(
                    "Task id=%s: a receiver of task_started left a transaction of %s "
                    "open; it was rolled back",
                    attempt.claim.uuid,
                    ", ".join(left_open),
                )

    def _run(self, attempt: Attempt, watch: Watch) -> Attempted:
        if attempt.options.transactional:
            run = partial(self._performed, attempt, watch)
            return in_one_transaction(self._workplace.store, attempt, run)
        outcome = self._performed(attempt, watch)
        left_open = clean_connections(
            was_interrupted=attempt.was_interrupted,
            has_succeeded=isinstance(outcome, Succeeded),
        )
        return attempt.ended(attempt.judged(outcome, left_open))

    def _performed(self, attempt: Attempt, watch: Watch) -> Outcome:
        # Not before: SQLite lets one transaction after the other begin.
        watch.start_time()
        with closed_when_cut_off():
            return perform(
                attempt.task,
                self._context(attempt),
                carried=attempt.call.carried,
                max_attempts=attempt.claim.max_attempts,
            )

    def _context(self, attempt: Attempt) -> TaskContext:
        return TaskContext(
            task_result=attempt.result,
            token=attempt.claim.token,
            control=attempt.control,
            metadata=attempt.claim.metadata,
            save=partial(attempt.save_metadata, self._workplace.store),
        )

    def _wait_for_rate(self, call: Payload) -> timedelta | None:
        if "rate" not in call.options:
            return None
        key, text = call.options["rate"]
        if not isinstance(key, str) or len(key) > KEY_LIMIT:
            raise DecodeError(f"The stored call has {key!r:.50} for the key of a rate.")
        return self._workplace.store.take(key, Rate.parse(text))

    def _unknown(self, claim: Claim) -> Outcome:
        """Leave a task to workers with newer code, for as long as is configured."""
        if claim.path not in self._missed:
            self._missed.add(claim.path)
            logger.warning(
                "Task id=%s path=%s is unknown to this worker", claim.uuid, claim.path
            )
        # Gone where it ends: who retries it has as much patience once more.
        missed_since = claim.metadata.pop(MISSED_SINCE, time.time())
        patience = settings().unknown_task_patience.total_seconds()
        if time.time() - missed_since < patience:
            if not claim.cancel_requested:
                claim.metadata[MISSED_SINCE] = missed_since
            return _not_before(claim, UNKNOWN_TASK_PAUSE)
        unknown = UnknownTask(
            f"No worker knows {claim.path!r}. Was it renamed? Workers import what is "
            "below 'tasks' and 'jobs' of the installed apps, and ERRANDS['IMPORTS']."
        )
        return Failed(AttemptError.of(unknown))

    def _broken(self, attempt: Attempt, escaped: BaseException) -> Attempted:
        told = (attempt.claim.uuid, attempt.claim.path)
        logger.error("Task id=%s path=%s broke its attempt", *told, exc_info=escaped)
        return attempt.ended(Failed(AttemptError.of(escaped)))


def _not_before(claim: Claim, after: timedelta) -> Outcome:
    """Let it come back later; a cancelled one, which would at once, ends."""
    if not claim.cancel_requested:
        return Snoozed(after)
    return Cancelled(AttemptError.of(TaskCancelled("Cancelled before it could start.")))


async def _renewed() -> None:
    """Renew the connections of coroutines; going to their thread each time is dear."""
    if kept.may_be_cut:
        kept.note_asked()
        await sync_to_async(renew_connections)()


async def _alone(performing: Any) -> Outcome:
    """Await a coroutine as an asyncio task, which an interruption may cancel.

    Past the loop's factory: another task may have put one there that refuses.
    """
    running = AttemptTask(performing)
    while not running.done():
        # By a task that cancels whatever runs on the loop.
        with suppress(CancelledError):
            await wait({running})
    outcome: Outcome = running.result()
    return outcome
