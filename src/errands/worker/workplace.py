"""What the threads of one worker process share."""

from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event
from typing import NamedTuple

from django.tasks import TaskResult

from errands.queue.claims import Claim, Settlement
from errands.queue.store import Store
from errands.tasks.interrupting import Control
from errands.worker.floor import Floor
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.waking.bell import Bell, Bells

# Unasked, while no waker is at work.
COURIER_POLL_SECONDS, UPKEEP_POLL_SECONDS = 0.25, 1.0


class Attempted(NamedTuple):
    """An attempt that has ended; ``result`` is None where no task was found.

    ``is_settled`` says that its end is recorded already, ``is_lost`` that
    somebody else has the task, so that nothing may be recorded.
    """

    settlement: Settlement
    result: TaskResult | None
    is_settled: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The queues between courier, executors and upkeep, and what they know.

    ::

        courier ── inbox ──► executors    claims to run, attempts to announce
        courier ◄─ outbox ── executors    attempts that ended; None only wakes
        courier ── overdue ► upkeep       announcements nobody had time for
        wakers ─── bells ──► courier, upkeep
    """

    options: WorkerOptions
    store: Store
    stop: Stop
    slots: Slots
    name: str
    inbox: SimpleQueue[Claim | Attempted | None] = field(default_factory=SimpleQueue)
    outbox: SimpleQueue[Attempted | None] = field(default_factory=SimpleQueue)
    overdue: SimpleQueue[Attempted | None] = field(default_factory=SimpleQueue)
    controls: dict[tuple[int, int], Control] = field(default_factory=dict)
    """What can be asked of the attempts that run, by id and token of their claims."""
    is_short: Event = field(default_factory=Event)
    """Set while the courier waits for announcements to end, to claim or to be done."""
    awaiting: set[int] = field(default_factory=set)
    """The claims whose attempts are awaited on the event loop."""
    floor: Floor = field(default_factory=Floor)
    bells: Bells = field(init=False)

    def __post_init__(self) -> None:
        """Hang the bells where courier and upkeep wait."""
        courier = Bell(self.outbox.put, poll=COURIER_POLL_SECONDS)
        upkeep = Bell(self.overdue.put, poll=UPKEEP_POLL_SECONDS)
        object.__setattr__(self, "bells", Bells(courier, upkeep))
