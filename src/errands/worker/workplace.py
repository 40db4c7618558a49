"""What the threads of one worker process share."""

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple

from django.tasks import TaskResult

from errands.queue.claims import Claim, Settlement
from errands.queue.store import Store
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop


class Attempted(NamedTuple):
    """An attempt that has ended; ``result`` is None where no task was found."""

    settlement: Settlement
    result: TaskResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The queues between courier, executors and upkeep, and what they know.

    ::

        courier ── inbox ──► executors    claims to run, attempts to announce
        courier ◄─ outbox ── executors    attempts that ended; None only wakes
        courier ── overdue ► upkeep       announcements nobody had time for
    """

    options: WorkerOptions
    store: Store
    stop: Stop
    slots: Slots
    name: str
    inbox: SimpleQueue[Claim | Attempted | None] = field(default_factory=SimpleQueue)
    outbox: SimpleQueue[Attempted | None] = field(default_factory=SimpleQueue)
    overdue: SimpleQueue[Attempted] = field(default_factory=SimpleQueue)
