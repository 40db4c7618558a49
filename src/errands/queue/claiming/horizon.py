"""Where a claim begins while dead index entries lie in its way.

An old snapshot (a report in one transaction, a forgotten ``BEGIN``) keeps
PostgreSQL from removing the index entries of tasks that are long done, and
every claim walks over all of them. So after four claims in a row that took long,
the next ones begin behind the last task taken, for 19 times as long as it took, at
least one second and two at most; then one looks from the front again, also
when nobody has told of anything. Only in that state may a task wait for so long
that has a higher priority, was given back, or was committed out of turn. Where
four of those in a row are not much quicker, it is the machine that is slow, and the
state ends; a single one has met a checkpoint, say.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from errands.queue.claims import Claim
from errands.queue.statements.rows import ClaimFilter

SLOW_SECONDS = 0.002
SLOW_SECONDS_PER_TASK = 0.0002
SLOW_IN_A_ROW = 4
SHARE = 19
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 2.0
SOONEST_SECONDS = 0.05
MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """The last task taken of a queue, and until when claims begin behind it."""

    rank: int
    id: int
    until: float
    seconds: float
    """How long a claim from the front took."""
    slow_in_a_row: int = 0
    """How many claims that began behind it were not much quicker."""

    def behind(self, claims: list[Claim], seconds: float) -> "Mark":
        """Return the mark of the last of these claims, which took so long."""
        rank, last = _last(claims) if claims else (self.rank, self.id)
        slow = self.slow_in_a_row + 1 if seconds > self.seconds / 2 else 0
        return replace(self, rank=rank, id=last, slow_in_a_row=slow)


class Horizon:
    """Remembers for one process how far each queue has been claimed."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: dict[str | None, Mark] = {}
        self._slow: Counter[str | None] = Counter()

    def claim(
        self, wanted: ClaimFilter, claim: Callable[[ClaimFilter], list[Claim]]
    ) -> list[Claim]:
        """Claim, from the front or from where the last claim ended."""
        began = self._clock()
        mark = self._marks.get(wanted.queue)
        if mark is None or began >= mark.until:
            claims = claim(wanted)
            self._note(wanted, claims, self._seconds(began, claims))
            return claims
        claims = claim(replace(wanted, min_rank=mark.rank, after_id=mark.id))
        mark = mark.behind(claims, self._seconds(began, claims))
        if mark.slow_in_a_row >= SLOW_IN_A_ROW:
            # It is over, but nobody has looked at what lies before it yet.
            mark = replace(mark, until=began)
            del self._slow[wanted.queue]
        self._marks[wanted.queue] = mark
        return claims

    @property
    def patience(self) -> float:
        """The seconds until one should look from the front again, 0.05 at least."""
        now = self._clock()
        # A queue that is empty, or paused, since then is not claimed from again.
        self._marks = {
            queue: mark
            for queue, mark in self._marks.items()
            if now < mark.until + LONGEST_SECONDS
        }
        if not self._marks:
            return inf
        until = min(mark.until for mark in self._marks.values())
        return max(SOONEST_SECONDS, until - now)

    def _seconds(self, began: float, claims: list[Claim]) -> float:
        """Return how long a claim took, but for what its tasks take."""
        return self._clock() - began - SLOW_SECONDS_PER_TASK * len(claims)

    def _note(self, wanted: ClaimFilter, claims: list[Claim], seconds: float) -> None:
        until = self._clock() + min(
            max(seconds * SHARE, SHORTEST_SECONDS), LONGEST_SECONDS
        )
        before = self._marks.pop(wanted.queue, None)
        if seconds <= SLOW_SECONDS:
            del self._slow[wanted.queue]
            return
        if len(self._slow) >= MOST_REMEMBERED:
            self._slow.clear()
        self._slow[wanted.queue] += 1
        if self._slow[wanted.queue] < SLOW_IN_A_ROW:
            return
        if claims:
            self._marks[wanted.queue] = Mark(*_last(claims), until, seconds)
        elif before:
            self._marks[wanted.queue] = replace(before, until=until)


def _last(claims: list[Claim]) -> tuple[int, int]:
    return max((-claim.priority, claim.id) for claim in claims)
