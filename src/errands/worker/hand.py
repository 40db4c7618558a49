"""What a process holds: its claims, and what the database says of them.

A claim is held from the moment it is taken to the moment its outcome is gathered.
Where a task is claimed again while a zombie of its last attempt still runs here,
the later claim replaces the earlier, whose outcome is then dropped.

If the answer to a claim is lost, the database says that we hold what we know
nothing of; therefore after every outage the two are compared, and the difference
is released. Where our lease has ended, as in a long outage, and nobody has rescued
what we hold, we go on holding it under our fresh id.

All of this belongs to the courier's thread.
"""

import logging
from collections.abc import Iterator

from errands.queue.claims import Claim
from errands.queue.store import Store
from errands.worker.heartbeat import Heartbeat

logger = logging.getLogger("errands.worker")

MOST_HELD = 10_000


class Hand:
    """The claims of one process, by the ids of their rows."""

    def __init__(self, store: Store, heartbeat: Heartbeat) -> None:
        self._store = store
        self._heartbeat = heartbeat
        self._known_as = heartbeat.identity.id
        self._claims: dict[int, Claim] = {}
        self.is_unsure = False
        """Whether the database may say that we hold more than we know."""

    def __len__(self) -> int:
        return len(self._claims)

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims.values())

    def take(self, claim: Claim) -> None:
        """Hold a claim."""
        self._claims[claim.id] = claim

    def let_go(self, claim: Claim) -> bool:
        """Hold a claim no longer; False where a later one has replaced it."""
        if self._claims.get(claim.id) is not claim:
            return False
        del self._claims[claim.id]
        return True

    def empty(self) -> list[Claim]:
        """Let go of everything, and return it."""
        claims, self._claims = list(self), {}
        return claims

    def take_along(self) -> None:
        """Hold under a fresh id what we still held under the one given up."""
        known_as = self._heartbeat.identity.id
        if known_as != self._known_as and self._heartbeat.may_claim:
            self._store.hand_over(self._known_as, to=known_as)
            self._known_as, self.is_unsure = known_as, True

    def compare(self) -> None:
        """Release what we hold without knowing, because an answer was lost."""
        if not self.is_unsure:
            return
        held = self._store.held_by(self._heartbeat.identity.id.hex, MOST_HELD)
        unknown = [claim for claim in held if not self._knows(claim)]
        if unknown:
            self._store.release(unknown)
            logger.warning("released %d claims whose answer was lost", len(unknown))
        self.is_unsure = False

    def _knows(self, claim: Claim) -> bool:
        known = self._claims.get(claim.id)
        return known is not None and known.token == claim.token
