"""Tasks that had started in a process that died, and now run alone.

::

    running ──process dies, task had started──► suspect ──claim──► running
                                                   ▲                  │
                                                   └── released ──────┘

One of them did it, and nobody can tell which. In their own state no claim of
ready tasks sees them. Who claims one holds nothing else and claims nothing
else until it has ended, in a process of its own; so what it does to that
process it does to itself alone, and a poison pill takes each neighbour down
once at most. Suspects of several workers and hosts run side by side.

Whoever dies between choosing a suspect and claiming it has changed nothing.
"""

import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.backends.utils import CursorWrapper

from errands.queue.claiming.picking import Picker
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim
from errands.queue.committing.colliding import runs_again
from errands.queue.committing.transactions import brief
from errands.queue.looking.remaining import wanted_by
from errands.queue.statements import Statements, statements_for
from errands.queue.statements.slots import count_taken
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.queue.throttling.concurrency import free_slot

LOOKED_AT = 20
IS_SUSPECT = f"state = {TaskState.SUSPECT:d}"
SLOTS_TAKEN = count_taken("errands_task.concurrency_key")


def suspects_wait(store: Store, selection: Selection) -> bool:
    """Return whether a suspect that the selection wants could run now."""
    return bool(_choose(store, selection, limit=1))


@runs_again
def claim_suspect(store: Store, worker_id: UUID, selection: Selection) -> Claim | None:
    """Take one suspect, the one with the highest priority that can start.

    None where there is none, and where the concurrency limits of all are
    exhausted or others were faster.
    """
    for row_id, key, limit in _choose(store, selection, limit=LOOKED_AT):
        with brief(store.alias) as cursor:
            slot = (
                None if key is None else _free_slot(store, cursor, key=key, limit=limit)
            )
            if key is not None and slot is None:
                continue
            if _take(store, cursor, worker_id, row_id=row_id, slot=slot):
                held = _statements(store).running(cursor, worker_id.hex, LOOKED_AT)
                return next(claim for claim in held if claim.id == row_id)
    return None


class SuspectPicker:
    """Claims one suspect whenever nothing is held.

    Its process stays for ``patience`` seconds after the last: where tasks kill
    their processes again and again, the next suspects find one that is ready.
    """

    def __init__(
        self,
        store: Store,
        selection: Selection,
        *,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._selection = selection
        self._patience = patience
        self._clock = clock
        self._busy_at = clock()

    def claim(
        self, worker_id: UUID, most: int, *, held: Iterable[str] = (), awaiting: int = 0
    ) -> list[Claim]:
        """Take a suspect, if ``held`` is empty; ``most`` is 1 or more."""
        del most, awaiting
        if any(True for _ in held):
            return []
        claim = claim_suspect(self._store, worker_id, self._selection)
        if claim is None:
            return []
        self._busy_at = self._clock()
        return [claim]

    @property
    def patience(self) -> float:
        """The seconds until suspects may be found of which nobody tells."""
        return inf

    def trust_pauses(self) -> None:
        """Do nothing: pauses are read with each claim."""

    def is_drained(self) -> bool:
        """Return whether no suspect is left that could run, and none is expected."""
        if self._clock() < self._busy_at + self._patience:
            return False
        return not suspects_wait(self._store, self._selection)


class IdlePicker:
    """Claims for a process without a supervisor, and so without a quarantine.

    Suspects that others have left behind run there when nothing else does:
    while one is held, nothing is claimed. ``reports`` counts how often somebody
    has seen suspects; they are looked for when it has changed.
    """

    def __init__(
        self, picker: Picker, suspects: SuspectPicker, reports: Callable[[], int]
    ) -> None:
        self._picker = picker
        self._suspects = suspects
        self._reports = reports
        self._seen = 0
        self._may_find = True
        self._has_suspect = False

    def claim(
        self, worker_id: UUID, most: int, *, held: Iterable[str] = (), awaiting: int = 0
    ) -> list[Claim]:
        """Take up to ``most`` tasks; a suspect only where there is nothing else."""
        queues = list(held)
        if self._has_suspect and queues:
            return []
        self._has_suspect = False
        claims = self._picker.claim(worker_id, most, held=queues, awaiting=awaiting)
        if not (claims or queues) and self._should_look():
            claims = self._suspects.claim(worker_id, 1)
            self._has_suspect = self._may_find = bool(claims)
        return claims

    @property
    def patience(self) -> float:
        """The seconds until tasks may be found of which nobody tells."""
        return self._picker.patience

    def trust_pauses(self) -> None:
        """Take what was read of pauses for fresh."""
        self._picker.trust_pauses()

    def is_drained(self) -> bool:
        """Return whether nothing is left that this process would ever claim."""
        self._may_find = True
        return self._picker.is_drained()

    def _should_look(self) -> bool:
        before, self._seen = self._seen, self._reports()
        return self._may_find or self._seen != before


def _choose(store: Store, selection: Selection, *, limit: int) -> list[tuple[Any, ...]]:
    """Return the first suspects that are due, of no paused queue and no full key."""
    wanted, values = wanted_by(selection)
    with connections[store.alias].cursor() as cursor:
        cursor.execute(
            "SELECT id, concurrency_key, concurrency_limit FROM errands_task "
            f"WHERE {IS_SUSPECT} AND {wanted} "
            "AND queue NOT IN (SELECT name FROM errands_queue) "
            f"AND (concurrency_key IS NULL OR ({SLOTS_TAKEN}) < concurrency_limit) "
            "AND (run_at IS NULL OR run_at <= %s) ORDER BY precedence, id LIMIT %s",
            [*values, _statements(store).now(), limit],
        )
        return list(cursor.fetchall())


def _free_slot(
    store: Store, cursor: CursorWrapper, *, key: str, limit: int
) -> int | None:
    _statements(store).lock_keys(cursor, [key])
    return free_slot(cursor, key, limit)


def _take(
    store: Store,
    cursor: CursorWrapper,
    worker_id: UUID,
    *,
    row_id: int,
    slot: int | None,
) -> bool:
    """Take it, unless somebody has locked it, who may keep it for long."""
    is_there = f"SELECT 1 FROM errands_task WHERE id = %s AND {IS_SUSPECT}"
    cursor.execute(f"{is_there} {_statements(store).locking}", [row_id])
    if cursor.fetchone() is None:
        return False
    cursor.execute(
        f"UPDATE errands_task SET state = {TaskState.RUNNING:d}, token = token + 1, "
        "attempt = attempt + 1, worker = %s, slot = %s, claimed_at = %s "
        f"WHERE id = %s AND {IS_SUSPECT}",
        [worker_id.hex, slot, _statements(store).now(), row_id],
    )
    return bool(cursor.rowcount == 1)


def _statements(store: Store) -> Statements:
    return statements_for(connections[store.alias])
