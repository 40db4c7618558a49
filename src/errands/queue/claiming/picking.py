"""From which queues the next tasks are claimed, and how many of each.

Queues named one by one are claimed in their order, and ``*`` in one statement,
with the highest priority of all queues first. Only where something has to be
left out (a paused queue, one with a pool of its own) or a prefix to be found
out, the queues that have ready tasks are read, and claimed one by one; each
time another one comes first, so that none starves.
"""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from typing import Protocol
from uuid import UUID

from errands.queue.claiming.horizon import Horizon
from errands.queue.claiming.selection import Selection, Term
from errands.queue.claims import Claim
from errands.queue.store import Store

PAUSED_SECONDS, TRUSTED_SECONDS = 1.0, 15.0
NAMES_SECONDS = 0.25
OWNERS = 1024


class Picker(Protocol):
    """Claims for one process. Belongs to one thread."""

    def claim(
        self, worker_id: UUID, most: int, *, held: Iterable[str] = (), awaiting: int = 0
    ) -> list[Claim]:
        """Take up to ``most`` tasks.

        ``held`` are the queues of the tasks in hand, ``awaiting`` how many of
        those need no thread.
        """

    @property
    def patience(self) -> float:
        """The seconds until tasks may be found of which nobody tells."""

    def trust_pauses(self) -> None:
        """Read no pauses for the next claim: an idle worker only glances."""

    def is_drained(self) -> bool:
        """Return whether nothing is left that this process would ever claim."""


class QueuePicker:
    """Claims what a selection wants of the queues that nobody has paused.

    A pause is seen within a second.
    """

    def __init__(
        self,
        store: Store,
        selection: Selection,
        *,
        threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._selection = selection
        self._threads = threads
        self._clock = clock
        self._terms = selection.terms
        self._has_pools = selection.has_pools
        self._has_prefixes = any(term.is_prefix and term.name for term in self._terms)
        self._owner_of = lru_cache(OWNERS)(selection.owner_of)
        self._horizon = Horizon()
        self._first_of: dict[Term, str] = {}
        self._paused: frozenset[str] = frozenset()
        self._names: list[str] = []
        self._paused_read_at = self._names_read_at = -inf
        self._trusts_pauses = False

    def claim(
        self, worker_id: UUID, most: int, *, held: Iterable[str] = (), awaiting: int = 0
    ) -> list[Claim]:
        """Take up to ``most`` tasks, and of each pool what it has room for."""
        self._read_paused()
        if not (self._has_pools or self._has_prefixes or self._paused):
            return self._claim(worker_id, self._selection.queues, most)
        room = self._room(held, awaiting) if self._has_pools else {}
        claims: list[Claim] = []
        for term in self._terms:
            pool = term if term.limit else None
            limit = min(most - len(claims), room.get(pool, most))
            found = self._claim(worker_id, self._queues_of(term), limit)
            room[pool] = room.get(pool, most) - len(found)
            claims += found
        if len(claims) < most:
            self._look_again()
        return claims

    @property
    def patience(self) -> float:
        """The seconds until tasks may be found of which nobody tells."""
        return self._horizon.patience

    def trust_pauses(self) -> None:
        """Read no pauses for the next claim: an idle worker only glances.

        Who pauses a queue rings, and so does who enqueues; then they are read. They
        are after a quarter of a minute as well, for a ring may be lost.
        """
        is_fresh = self._clock() - self._paused_read_at < TRUSTED_SECONDS
        self._trusts_pauses = is_fresh and not self._paused

    def is_drained(self) -> bool:
        """Return whether nothing is left that this process would ever claim."""
        return self._store.is_drained(self._selection)

    def _room(self, held: Iterable[str], awaiting: int) -> dict[Term | None, int]:
        """Return what each pool has room for; None is all queues without one."""
        in_hand = Counter(map(self._owner_of, held))
        room: dict[Term | None, int] = {
            term: term.limit - in_hand[term] for term in self._terms if term.limit
        }
        pooled = sum(in_hand[term] for term in room)
        needs_no_thread = max(0, awaiting - pooled)
        room[None] = self._threads + needs_no_thread - (in_hand.total() - pooled)
        return room

    def _look_again(self) -> None:
        """Forget what is known about queues: the last claim was not filled."""
        self._names_read_at = -inf
        if self._paused:
            self._paused_read_at = -inf

    def _claim(self, worker_id: UUID, queues: Sequence[str], limit: int) -> list[Claim]:
        if limit < 1 or not queues:
            return []
        selection = replace(self._selection, queues=tuple(queues))
        horizon = self._horizon
        return self._store.claim(worker_id, selection, limit, horizon=horizon)

    def _queues_of(self, term: Term) -> Sequence[str]:
        """Return the queues of a term that may have something to claim."""
        if not term.is_prefix:
            return () if term.name in self._paused else (term.name,)
        leaves_nothing_out = not (self._paused or self._has_pools)
        if not term.name and leaves_nothing_out:
            return (term.pattern,)
        self._read_names()
        names = [name for name in self._names if self._is_of(term, name)]
        return self._rotated(term, names)

    def _is_of(self, term: Term, name: str) -> bool:
        return name not in self._paused and self._owner_of(name) == term

    def _rotated(self, term: Term, names: list[str]) -> list[str]:
        """Begin behind the queue that came first the last time."""
        if not names:
            return names
        start = bisect_right(names, self._first_of.get(term, "")) % len(names)
        self._first_of[term] = names[start]
        return names[start:] + names[:start]

    def _read_paused(self) -> None:
        trusts, self._trusts_pauses = self._trusts_pauses, False
        if not trusts and self._clock() - self._paused_read_at >= PAUSED_SECONDS:
            self._paused = self._store.paused()
            self._paused_read_at = self._clock()

    def _read_names(self) -> None:
        if self._clock() - self._names_read_at >= NAMES_SECONDS:
            self._names = sorted(self._store.queue_names())
            self._names_read_at = self._clock()
