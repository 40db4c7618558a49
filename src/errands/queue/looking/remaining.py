"""Whether anything is left that a selection would ever claim."""

from collections.abc import Collection
from typing import Any

from errands.queue.claiming.selection import Selection, Term
from errands.queue.statements.rows import places
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
    wanted, params = wanted_by(selection)
    unpaused = f"AND queue NOT IN ({places(paused)})" if paused else ""
    parts = [_exists(TaskState.RUNNING, wanted)]
    values = [*params]
    for state, due in WAITING.items():
        parts.append(_exists(state, f"{wanted} {unpaused} {due}"))
        values += [*params, *paused, *([now] if due else [])]
    return f"SELECT {' OR '.join(parts)}", values


def _exists(state: TaskState, condition: str) -> str:
    return f"EXISTS (SELECT 1 FROM errands_task WHERE state = {state:d} AND {condition})"


def wanted_by(selection: Selection) -> Condition:
    """Return the condition for tasks of a selection's queues and priorities."""
    named, params = _named_by(selection)
    return f"{named} AND precedence BETWEEN %s AND %s", [*params, *selection.ranks]


def _named_by(selection: Selection) -> Condition:
    if selection.is_every_queue:
        return "1 = 1", []
    conditions = [_is_for(term) for term in selection.terms]
    sql = " OR ".join(condition for condition, _ in conditions)
    return f"({sql})", [value for _, values in conditions for value in values]


def _is_for(term: Term) -> Condition:
    if term.is_prefix:
        return "SUBSTR(queue, 1, %s) = %s", [len(term.name), term.name]
    return "queue = %s", [term.name]
