"""How much waits in each queue, and for how long."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Min
from django.db.models.functions import Coalesce

from errands.instants import from_site
from errands.queue.models import QueueRow, TaskRow
from errands.queue.states import TaskState


@dataclass(slots=True)
class Depth:
    """One queue: how many tasks are in each state."""

    queue: str
    is_paused: bool = False
    waiting_since: datetime | None = None
    counts: dict[TaskState, int] = field(
        default_factory=lambda: dict.fromkeys(TaskState, 0)
    )


def depths(alias: str) -> list[Depth]:
    """Return the queues that hold tasks or are paused, by name.

    ``waiting_since`` is when the oldest ready task could have started. Counts
    every live row, so it is for people, not for each request.
    """
    found: dict[str, Depth] = {}
    for name in QueueRow.objects.using(alias).values_list("name", flat=True):
        found[name] = Depth(name, is_paused=True)
    counted = (
        TaskRow.objects.using(alias)
        .values("queue", "state")
        .annotate(count=Count("id"), since=Min(Coalesce("run_at", "enqueued_at")))
        .order_by()
    )
    for row in counted:
        depth = found.setdefault(row["queue"], Depth(row["queue"]))
        state = TaskState(row["state"])
        depth.counts[state] = row["count"]
        if state == TaskState.READY:
            depth.waiting_since = from_site(row["since"])
    return sorted(found.values(), key=lambda depth: depth.queue)
