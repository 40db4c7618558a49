"""Where a claim begins while dead index entries lie in its way.

An old snapshot (a report in one transaction, a forgotten ``BEGIN``) keeps
PostgreSQL from removing the index entries of tasks that are long done, and
every claim walks over all of them. So after two claims that took long, the next
ones begin behind the last task taken, for 19 times as long as it took, at
least one second and two at most; then one looks from the front again, also
when nobody has told of anything. Only in that state may a task wait for so long
that has a higher priority, was given back, or was committed out of turn.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from errands.queue.claims import Claim
from errands.queue.statements.rows import ClaimFilter

SLOW_SECONDS = 0.004
SLOW_SECONDS_PER_TASK = 0.0002
SHARE = 19
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 2.0
SOONEST_SECONDS = 0.05
MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """The last task taken of a queue, and until when claims begin behind it."""

    rank: int
    id: int
    until: float


class Horizon:
    """Remembers for one process how far each queue has been claimed."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[str | None, Place] = {}
        self._slow: set[str | None] = set()

    def claim(
        self, wanted: ClaimFilter, claim: Callable[[ClaimFilter], list[Claim]]
    ) -> list[Claim]:
        """Claim, from the front or from where the last claim ended."""
        began = self._clock()
        place = self._places.get(wanted.queue)
        if place is None or began >= place.until:
            claims = claim(wanted)
            self._note(wanted, claims, self._clock() - began)
            return claims
        claims = claim(replace(wanted, min_rank=place.rank, after_id=place.id))
        if claims:
            self._places[wanted.queue] = _behind(claims, place.until)
        return claims

    @property
    def patience(self) -> float:
        """The seconds until one should look from the front again, 0.05 at least."""
        now = self._clock()
        # A queue that is empty, or paused, since then is not claimed from again.
        self._places = {
            queue: place
            for queue, place in self._places.items()
            if now < place.until + LONGEST_SECONDS
        }
        if not self._places:
            return inf
        until = min(place.until for place in self._places.values())
        return max(SOONEST_SECONDS, until - now)

    def _note(self, wanted: ClaimFilter, claims: list[Claim], seconds: float) -> None:
        is_slow = seconds > SLOW_SECONDS + SLOW_SECONDS_PER_TASK * len(claims)
        until = self._clock() + min(
            max(seconds * SHARE, SHORTEST_SECONDS), LONGEST_SECONDS
        )
        before = self._places.pop(wanted.queue, None)
        if not is_slow:
            self._slow.discard(wanted.queue)
        elif wanted.queue not in self._slow:
            if len(self._slow) >= MOST_REMEMBERED:
                self._slow.clear()
            self._slow.add(wanted.queue)
        elif claims:
            self._places[wanted.queue] = _behind(claims, until)
        elif before:
            self._places[wanted.queue] = replace(before, until=until)


def _behind(claims: list[Claim], until: float) -> Place:
    rank, last = max((-claim.priority, claim.id) for claim in claims)
    return Place(rank, last, until)
