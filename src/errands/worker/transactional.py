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
from errands.worker.attempt import Attempt
from errands.worker.connections import callers_transactions, clean_connections
from errands.worker.workplace import Attempted

logger = logging.getLogger("errands.worker")


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
    except Error as error:
        if _is_outage(error):
            attempted = _asked(store, attempt, attempted)
        else:
            attempted = attempt.ended(attempt.failed(error))
    else:
        attempted = attempted._replace(is_settled=True)
    clean_connections()
    return attempted


def _performed(attempt: Attempt, perform: Callable[[], Outcome]) -> Outcome:
    """Perform it; what it leaves open inside the transaction is rolled back."""
    with callers_transactions():
        outcome = perform()
        return attempt.judged(outcome, clean_connections())


def _is_outage(error: BaseException | None) -> bool:
    """Return whether the connection broke; leaving the transaction may hide that."""
    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return True
        error = error.__context__
    return False


def _asked(store: Store, attempt: Attempt, attempted: Attempted) -> Attempted:
    """Find out whether COMMIT did its work before the answer was lost."""
    try:
        clean_connections()
        if store.was_settled(attempt.claim):
            return attempted._replace(is_settled=True)
    except Error:
        logger.warning("Task id=%s: COMMIT unanswered", attempt.claim.uuid)
    return attempt.ended(Interrupted())
