"""Running a task and recording its end in one transaction.

::

    BEGIN · the function · settle WHERE token … · COMMIT

What the function writes to the queue's database is there exactly if its end is
recorded, and that happens once: an attempt that has lost its lease settles
nothing and rolls back. If we die before COMMIT, nothing was done and the task
is rescued. If only the answer to COMMIT is lost, the results say whether it
was; as long as they cannot be asked, the task is given back, which changes
nothing where it has ended.
"""

import logging
from collections.abc import Callable

from django.db import Error, InterfaceError, OperationalError
from django.db.transaction import atomic

from errands.queue.store import Store
from errands.tasks.outcomes import Interrupted, Outcome, Succeeded
from errands.worker.attempts.attempt import Attempt
from errands.worker.connections import callers_transactions, clean_connections
from errands.worker.workplace import Attempted

logger = logging.getLogger("errands.worker")

RELEASES_WITHOUT_CHARGE = 3


class _RollBack(Exception):
    """Leaves the transaction."""


def in_one_transaction(
    store: Store, attempt: Attempt, perform: Callable[[], Outcome]
) -> Attempted:
    """Make an attempt whose success is settled with what it wrote."""
    attempted = attempt.ended(Interrupted())
    try:
        with atomic(using=store.alias, durable=True):
            attempted = attempt.ended(_performed(attempt, perform))
            if not isinstance(attempted.settlement.outcome, Succeeded):
                raise _RollBack
            if not store.settle_within(attempted.settlement):
                attempted = attempt.lost()
                raise _RollBack
    except _RollBack:
        pass
    except BaseException as error:  # noqa: BLE001 - a hook after COMMIT raises anything
        attempted = _asked(store, attempt, attempted, error=error)
    else:
        attempted = attempted._replace(is_settled=True)
    clean_connections(was_interrupted=attempt.was_interrupted)
    return attempted


def _performed(attempt: Attempt, perform: Callable[[], Outcome]) -> Outcome:
    """Perform it; what it leaves open inside the transaction is rolled back."""
    with callers_transactions():
        outcome = perform()
        left_open = clean_connections(was_interrupted=attempt.was_interrupted)
        return attempt.judged(outcome, left_open)


def _asked(
    store: Store, attempt: Attempt, attempted: Attempted, *, error: BaseException
) -> Attempted:
    """Find out whether COMMIT had done its work when something was raised.

    Its answer may have been lost, or a hook of ``on_commit`` have raised after it.
    """
    try:
        clean_connections(was_interrupted=attempt.was_interrupted)
        was_settled = store.was_settled(attempt.claim)
    except Error as unanswered:
        if _is_outage(unanswered):
            logger.warning("Task id=%s: COMMIT unanswered", attempt.claim.uuid)
            return attempt.ended(Interrupted())
        # Nothing can be written either, in a session that a task has spoiled.
        was_settled = False
    if not was_settled:
        return attempt.ended(_undone(attempt, attempted, error))
    logger.warning(
        "Task id=%s is done; what was raised after its COMMIT changes nothing",
        attempt.claim.uuid,
        exc_info=error,
    )
    return attempted._replace(is_settled=True)


def _undone(attempt: Attempt, attempted: Attempted, error: BaseException) -> Outcome:
    """Return how an attempt ended of which nothing was committed.

    An outage costs it nothing. But a task may break its connection itself, each
    time, so what was given back before is charged if it had been performed.
    """
    was_performed = not isinstance(attempted.settlement.outcome, Interrupted)
    if was_performed and attempt.claim.releases >= RELEASES_WITHOUT_CHARGE:
        return attempt.failed(error)
    return Interrupted() if _is_outage(error) else attempt.failed(error)


def _is_outage(error: BaseException | None) -> bool:
    """Return whether the connection broke; leaving the transaction may hide that."""
    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return True
        error = error.__context__
    return False
