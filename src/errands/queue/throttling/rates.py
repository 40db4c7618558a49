"""How often tasks of one key may start: a leaky bucket of timestamps.

``free_at`` is when everything let through so far will have drained away at the
rate's own pace (the "theoretical arrival time" of GCRA). A task may start while
that is no further ahead than the burst allows; then it moves on by one share of
the period. So at most ``count`` start at once, and never more than twice
``count`` within a period.

Who may not start is told when to come back: one share after the one before, so
that ten thousand waiting tasks do not return together. That promise is bounded,
for those who got it may be cancelled meanwhile: the rest come back at a random
instant within ``LONGEST_WAIT``, and ask again. Who asks first starts first.

Both numbers change by compare-and-swap, so it does not matter how many
processes ask at once. Times are microseconds of the database's clock. A row
that is lost, or deleted because it has drained, allows one burst.
"""

import random
from dataclasses import dataclass
from datetime import timedelta

from errands.instants import MICROSECOND
from errands.queue.statements import DATABASES
from errands.sidecar import Sidecar, sidecar
from errands.tasks.rates import Rate

LONGEST_WAIT = timedelta(minutes=5)
MOST_SHARES = 10
FORGOTTEN_AFTER = timedelta(days=1)

# In microseconds since 1970.
NOW = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS integer)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
KEY = {"postgresql": '"key"', "sqlite": '"key"', "mysql": "`key`"}


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the row of a key says, in microseconds."""

    free_at: int
    hint_at: int

    def asked(self, rate: Rate, *, now: int) -> tuple["Bucket", int]:
        """Return the bucket after one more has asked, and how long that one waits."""
        period = rate.period // MICROSECOND
        # Rounded up, so that a rate is never exceeded.
        share = -(-period // rate.count)
        opens_at = self.free_at - (rate.count - 1) * share
        if now >= opens_at:
            return Bucket(max(self.free_at, now) + share, self.hint_at), 0
        hint_at = max(self.hint_at, opens_at - share) + share
        longest = max(LONGEST_WAIT // MICROSECOND, MOST_SHARES * share)
        if hint_at - now <= longest:
            return Bucket(self.free_at, hint_at), hint_at - now
        return self, random.randint(longest // 2, longest)  # noqa: S311


def take(alias: str, key: str, rate: Rate) -> timedelta | None:
    """Let one task start; or return how long it has to wait and ask again.

    None means that it may start now, and that this start has been counted. One
    that does not start after all is counted all the same.
    """
    side = sidecar(alias)
    while True:
        seen = _read(side, key)
        if seen is None:
            _insert(side, key)
            continue
        bucket, now = seen
        after, wait = bucket.asked(rate, now=now)
        if after == bucket or _swap(side, key, seen=bucket, after=after):
            return timedelta(microseconds=wait) if wait else None


def forget_drained(alias: str) -> int:
    """Delete the rows of keys nobody has asked about for a day."""
    side = sidecar(alias)
    long_ago = f"{NOW[side.vendor]} - {FORGOTTEN_AFTER // MICROSECOND}"
    return side.update(
        f"DELETE FROM errands_rate WHERE free_at < {long_ago} AND hint_at < {long_ago}"
    )


def _read(side: Sidecar, key: str) -> tuple[Bucket, int] | None:
    rows = side.execute(
        f"SELECT free_at, hint_at, {NOW[side.vendor]} FROM errands_rate "
        f"WHERE {KEY[side.vendor]} = %s",
        [key],
    )
    if not rows:
        return None
    free_at, hint_at, now = map(int, rows[0])
    return Bucket(free_at, hint_at), now


def _insert(side: Sidecar, key: str) -> None:
    of = DATABASES[side.vendor]
    side.update(
        f"{of.insert_into} errands_rate ({KEY[side.vendor]}, free_at, hint_at) "
        f"VALUES (%s, 0, 0) {of.unless_taken}",
        [key],
    )


def _swap(side: Sidecar, key: str, *, seen: Bucket, after: Bucket) -> bool:
    changed = side.update(
        "UPDATE errands_rate SET free_at = %s, hint_at = %s "
        f"WHERE {KEY[side.vendor]} = %s AND free_at = %s AND hint_at = %s",
        [after.free_at, after.hint_at, key, seen.free_at, seen.hint_at],
    )
    return changed == 1
