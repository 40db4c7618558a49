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
from collections.abc import Container, Iterable, Sequence
from itertools import count

from django.db import connections
from django.db.backends.utils import CursorWrapper

from errands.queue.claims import Claim
from errands.queue.colliding import runs_again
from errands.queue.statements import Statements, statements_for
from errands.queue.statements.rows import Candidate, ClaimFilter
from errands.queue.states import TaskState
from errands.queue.transactions import brief
from errands.queue.waking import wake

KEYS_AT_ONCE = 100

SLOTS_TAKEN = (
    "SELECT COUNT(*) FROM errands_task t "
    "WHERE t.concurrency_key = {key} AND t.slot IS NOT NULL"
)
LIMIT = (
    "SELECT t.concurrency_limit FROM errands_task t {by_index} "
    f"WHERE t.state = {TaskState.BLOCKED:d} AND t.concurrency_key = {{key}} "
    "AND t.queue NOT IN (SELECT name FROM errands_queue) "
    "ORDER BY t.precedence, t.id LIMIT 1"
)

HAS_ROOM = f"({SLOTS_TAKEN}) < ({LIMIT})"
BLOCKED_INDEX = "errands_task_blocked"


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
    has_room = HAS_ROOM.format(key="found.value", by_index=by_index)
    with connections[alias].cursor() as cursor:
        cursor.execute(f"{blocked} SELECT value FROM found WHERE {has_room}")
        keys = [row[0] for row in cursor.fetchall()]
    return sum(
        promote(alias, keys[start : start + KEYS_AT_ONCE])
        for start in range(0, len(keys), KEYS_AT_ONCE)
    )


def slots_taken(cursor: CursorWrapper, keys: Iterable[str]) -> dict[str, set[int]]:
    """Return the slots of the running tasks of each key."""
    names = list(keys)
    cursor.execute(
        "SELECT concurrency_key, slot FROM errands_task WHERE slot IS NOT NULL "
        f"AND concurrency_key IN ({', '.join(['%s'] * len(names))})",
        names,
    )
    taken: dict[str, set[int]] = defaultdict(set)
    for key, slot in cursor.fetchall():
        taken[key].add(slot)
    return taken


def lowest_free(taken: Container[int]) -> int:
    """Return the first slot that is not taken; the limit is somebody else's matter."""
    return next(slot for slot in count() if slot not in taken)


def _free_slots(
    candidates: Sequence[Candidate], taken: dict[str, set[int]]
) -> dict[int, int]:
    """Return a slot for each row that may start, and note it as taken."""
    slots: dict[int, int] = {}
    for row in candidates:
        of_key = taken[row.key]
        if len(of_key) < row.limit:
            slots[row.id] = lowest_free(of_key)
            of_key.add(slots[row.id])
    return slots
