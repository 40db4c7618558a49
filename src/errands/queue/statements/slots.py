"""The slots of a concurrency key, as SQL: what is taken, and who waits for the rest.

``key`` and ``limit`` are SQL as well: a place for a value, or another query's column.
``by_index`` is ``Statements.of_index`` for ``BLOCKED_INDEX``.
"""

from errands.queue.states import TaskState

BLOCKED_INDEX = "errands_task_blocked"


def count_taken(key: str) -> str:
    """Return the query for how many slots of a key are taken."""
    return (
        "SELECT COUNT(*) FROM errands_task t "
        f"WHERE t.concurrency_key = {key} AND t.slot IS NOT NULL"
    )


def first_blocked(column: str, key: str, *, limit: str, by_index: str = "") -> str:
    """Return the query for the blocked rows of a key, those first that go first.

    Not those of paused queues: they stay blocked.
    """
    return (
        f"SELECT t.{column} FROM errands_task t {by_index} "
        f"WHERE t.state = {TaskState.BLOCKED:d} AND t.concurrency_key = {key} "
        "AND t.queue NOT IN (SELECT name FROM errands_queue) "
        f"ORDER BY t.precedence, t.id LIMIT {limit}"
    )


def count_free(key: str, *, by_index: str = "") -> str:
    """Return the value of how many slots are free; NULL where nobody waits for one.

    Free are the limit of the first blocked row minus the slots taken.
    """
    limit = first_blocked("concurrency_limit", key, limit="1", by_index=by_index)
    return f"(({limit}) - ({count_taken(key)}))"
