"""Whether anything is left that a selection would ever claim."""

from collections.abc import Collection
from typing import Any

from errands.queue.selection import Selection, Term
from errands.queue.states import TaskState

type Condition = tuple[str, list[Any]]

WAITING = {
    TaskState.READY: "",
    TaskState.BLOCKED: "",
    TaskState.SUSPECT: "AND (run_at IS NULL OR run_at <= %s)",
    TaskState.SCHEDULED: "AND run_at <= %s",
}


def anything_left(
    selection: Selection,
    *,
    paused: Collection[str],
    now: Any,
) -> Condition:
    """Return the query that says whether anything waits, is due or running.

    What runs is waited for in paused queues too, what waits there is not. Each
    state is looked up in the index that has only its rows.
    """
    wanted, params = named_by(selection)
    wanted, params = (
        f"{wanted} AND precedence BETWEEN %s AND %s",
        [*params, *selection.ranks],
    )
    unpaused = f"AND queue NOT IN ({', '.join(['%s'] * len(paused))})" if paused else ""
    parts = [_exists(TaskState.RUNNING, wanted)]
    values = [*params]
    for state, due in WAITING.items():
        parts.append(_exists(state, f"{wanted} {unpaused} {due}"))
        values += [*params, *paused, *([now] if due else [])]
    return f"SELECT {' OR '.join(parts)}", values


def _exists(state: TaskState, condition: str) -> str:
    return f"EXISTS (SELECT 1 FROM errands_task WHERE state = {state:d} AND {condition})"


def named_by(selection: Selection) -> Condition:
    """Return the condition for tasks in queues that a selection names."""
    if selection.is_every_queue:
        return "1 = 1", []
    conditions = [_is_for(term) for term in selection.terms]
    sql = " OR ".join(condition for condition, _ in conditions)
    return f"({sql})", [value for _, values in conditions for value in values]


def _is_for(term: Term) -> Condition:
    if term.is_prefix:
        return "SUBSTR(queue, 1, %s) = %s", [len(term.name), term.name]
    return "queue = %s", [term.name]
