"""Limits that tasks share: slots, and who waits for one.

::

    ready ──claim: a slot is free──► running, slot = n ──leaves running──► slot gone
     │ ▲                                                                     │
     │ └────────── blocked ◄── promote: one per free slot, same transaction ─┘
     └── claim: the key is full ──► blocked

A slot is a number on the running row, so it is gone with the row: whoever
finishes, releases or rescues a task frees it, and nothing can leak. The unique
index over key and slot refuses a slot twice, whatever else goes wrong.

Blocking looks at the slots taken, promoting at the rows blocked; both happen
under the lock of the key, so none misses what the other has just done. Who
dies in between has done neither. What nobody promotes, because the row let
through was cancelled or belongs to a paused queue, the sweep does: ``unblock``.

Not promised: that a row which was let through is the next to run. Rows wait in
the order of priority and age, and workers take them in the order of queues.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import batched, count

from django.db import connections
from django.db.backends.utils import CursorWrapper

from errands.queue.claims import Claim
from errands.queue.committing.colliding import runs_again
from errands.queue.committing.transactions import brief
from errands.queue.committing.waking import wake
from errands.queue.statements import Statements, statements_for
from errands.queue.statements.rows import Candidate, ClaimFilter, places
from errands.queue.statements.slots import BLOCKED_INDEX, count_free
from errands.queue.states import TaskState

KEYS_AT_ONCE = 100


def start_keyed(
    statements: Statements,
    cursor: CursorWrapper,
    *,
    keyed: Sequence[tuple[int, str]],
    wanted: ClaimFilter,
) -> list[Claim]:
    """Take those rows whose key has a free slot; block the first of full keys.

    In a transaction of the caller's.
    """
    keys = sorted({key for _, key in keyed})
    statements.lock_keys(cursor, keys)
    taken = slots_taken(cursor, keys)
    candidates = statements.candidates(cursor, [row_id for row_id, _ in keyed])
    slots = _free_slots(candidates, taken)
    claims = statements.start(cursor, wanted.worker, slots) if slots else []
    full = {row.key: len(taken[row.key]) for row in candidates if row.id not in slots}
    if full:
        statements.block(cursor, full, wanted)
    return claims


@runs_again
def promote(alias: str, keys: Sequence[str]) -> int:
    """Let through who waits for a free slot of these keys; return how many."""
    statements = statements_for(connections[alias])
    with brief(alias) as cursor:
        statements.lock_keys(cursor, keys)
        promoted = statements.promote(cursor, keys)
    if promoted:
        wake(connections[alias])
    return promoted


def unblock(alias: str) -> int:
    """Let through everybody who waits though a slot is free; return how many."""
    statements = statements_for(connections[alias])
    blocked = statements.values_of_state.format(
        column="concurrency_key", state=TaskState.BLOCKED, index=BLOCKED_INDEX
    )
    by_index = statements.of_index.format(BLOCKED_INDEX)
    free = count_free("found.value", by_index=by_index)
    with connections[alias].cursor() as cursor:
        cursor.execute(f"{blocked} SELECT value FROM found WHERE {free} > 0")
        keys = [row[0] for row in cursor.fetchall()]
    return sum(promote(alias, some) for some in batched(keys, KEYS_AT_ONCE))


def slots_taken(cursor: CursorWrapper, keys: Iterable[str]) -> dict[str, set[int]]:
    """Return the slots of the running tasks of each key."""
    names = list(keys)
    cursor.execute(
        "SELECT concurrency_key, slot FROM errands_task WHERE slot IS NOT NULL "
        f"AND concurrency_key IN ({places(names)})",
        names,
    )
    taken: dict[str, set[int]] = defaultdict(set)
    for key, slot in cursor.fetchall():
        taken[key].add(slot)
    return taken


def free_slot(cursor: CursorWrapper, key: str, limit: int) -> int | None:
    """Return a slot of a key that is free; None where all are taken.

    Under the lock of the key.
    """
    return _lowest_free(slots_taken(cursor, [key])[key], limit)


def _free_slots(
    candidates: Sequence[Candidate], taken: dict[str, set[int]]
) -> dict[int, int]:
    """Return a slot for each row that may start, and note it as taken."""
    slots: dict[int, int] = {}
    for row in candidates:
        slot = _lowest_free(taken[row.key], row.limit)
        if slot is not None:
            slots[row.id] = slot
            taken[row.key].add(slot)
    return slots


def _lowest_free(taken: Collection[int], limit: int) -> int | None:
    if len(taken) >= limit:
        return None
    return next(slot for slot in count() if slot not in taken)
