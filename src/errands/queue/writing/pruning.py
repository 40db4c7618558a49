"""Deleting results that are no longer kept, in small batches.

A result goes when its ``expires_at`` is over; one that has none goes when it is
older than the site keeps results of its status. Who deletes a batch locks
nothing but those rows, and passes over what another one deletes.
"""

from datetime import datetime

from django.db import connections

from errands import instants
from errands.queue.committing.colliding import runs_again
from errands.queue.statements import statements_for
from errands.queue.states import ResultStatus
from errands.queue.writing.keeping import site_keeps

BATCH = 1000

IS_OLD = (
    "EXISTS (SELECT 1 FROM errands_result "
    "WHERE status = %s AND finished_at < %s AND expires_at IS NULL)"
)
IS_EXPIRED = "EXISTS (SELECT 1 FROM errands_result WHERE expires_at <= %s)"
IS_ANYTHING_OVER = f"SELECT {', '.join([IS_EXPIRED, *[IS_OLD] * len(ResultStatus)])}"


@runs_again
def prune(alias: str, limit: int = BATCH) -> int:
    """Delete at most ``limit`` results of each status; return how many.

    Whether there are any is asked first, in one statement, and mostly is all.
    """
    statements, now = statements_for(connections[alias]), instants.now()
    has_expired, old = _what_is_over(alias, now)
    deleted = 0
    if has_expired:
        with connections[alias].cursor() as cursor:
            deleted += statements.prune_expired(cursor, limit)
    for status, before in old.items():
        with connections[alias].cursor() as cursor:
            deleted += statements.prune(cursor, status, before=before, limit=limit)
    return deleted


def _what_is_over(alias: str, now: datetime) -> tuple[bool, dict[ResultStatus, datetime]]:
    """Return whether something has expired, and of which statuses something is old.

    With each of these the instant that its results must be younger than.
    """
    value = statements_for(connections[alias]).value
    kept_since = {
        status: now - site_keeps(has_succeeded=status == ResultStatus.SUCCEEDED)
        for status in ResultStatus
    }
    pairs = [pair for status, at in kept_since.items() for pair in (status, value(at))]
    with connections[alias].cursor() as cursor:
        cursor.execute(IS_ANYTHING_OVER, [value(now), *pairs])
        has_expired, *are_old = cursor.fetchone()
    is_old = zip(kept_since.items(), are_old, strict=True)
    return bool(has_expired), dict(item for item, found in is_old if found)
