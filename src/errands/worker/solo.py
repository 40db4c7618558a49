"""One task after another, in the calling thread.

::

    ready ──claim──► attempt ──► settle ──► announce ──► the next one

For processes that are not workers: somebody's own (``work_off``), and a test's.
What the courier and its executors do side by side is done here in a row, with
the same parts, so an attempt is no different from one in a worker.

Suspects are run here too, when nothing else is ready: whoever claims one holds
nothing else. If it kills the process, it kills its caller's.

Ctrl-C belongs to the caller: the task it hits is given back, and the
``KeyboardInterrupt`` is raised where it was called.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from uuid import UUID

from errands.queue.claiming.picking import QueuePicker
from errands.queue.claiming.suspects import claim_suspect
from errands.queue.claims import Claim, Settlement
from errands.queue.store import Store
from errands.tasks.outcomes import Cancelled, Failed, Interrupted, Outcome
from errands.worker.announcing import Announcer
from errands.worker.attempts.ctrl_c import CtrlC
from errands.worker.attempts.making import Attempts
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.workplace import Workplace

type Around = Callable[[], AbstractContextManager[object]]


class Solo:
    """Claims, attempts, settles and announces one task at a time.

    ``around`` is entered around whatever runs code of the site: the attempt,
    and the receivers of its signals.
    """

    def __init__(self, workplace: Workplace, *, around: Around = nullcontext) -> None:
        self._store = workplace.store
        self._selection = workplace.options.selection
        self._attempts = Attempts(workplace)
        self._announcer = Announcer(workplace)
        self._around = around
        # A clock that has always moved on: pauses hold at once.
        clock = partial(next, count())
        self._picker = QueuePicker(self._store, self._selection, clock=clock)

    def claim(self, worker_id: UUID) -> Claim | None:
        """Take what should run next; what is due by now is ready."""
        self._store.stage()
        claims = self._picker.claim(worker_id, 1)
        if not claims and self._store.unblock():
            claims = self._picker.claim(worker_id, 1)
        if claims:
            return claims[0]
        return claim_suspect(self._store, worker_id, self._selection)

    def attempt(self, claim: Claim) -> Outcome | None:
        """Run a claim and record what came of it; None when the lease was lost."""
        with self._around(), CtrlC().heard() as ctrl_c:
            attempted = self._attempts.make(claim, begins=ctrl_c.concerns)
        told = _as_given_back(attempted.settlement, ctrl_c)
        recorded = told if attempted.is_settled else None
        if not (attempted.is_settled or attempted.is_lost):
            recorded = self._store.settle([told]).get(claim.id)
        if recorded is None:
            return None
        with self._around():
            self._announcer.announce(attempted._replace(settlement=recorded))
        if ctrl_c.has_cancelled or told is not attempted.settlement:
            raise KeyboardInterrupt
        return recorded.outcome

    def give_back(self, worker_id: UUID) -> None:
        """Release what is still held, where something came between."""
        self._store.release(self._store.held_by(worker_id.hex))


@contextmanager
def solo_workplace(
    store: Store, options: WorkerOptions, *, name: str
) -> Iterator[Workplace]:
    """Return a workplace that only the calling thread works in."""
    slots = Slots.private(options.places)
    try:
        yield Workplace(
            options=options, store=store, stop=Stop(0), slots=slots, name=name
        )
    finally:
        slots.close()


def _as_given_back(settlement: Settlement, ctrl_c: CtrlC) -> Settlement:
    """Return a settlement that gives back what Ctrl-C has ended."""
    outcome = settlement.outcome
    if not (ctrl_c.was_pressed and isinstance(outcome, Failed | Cancelled)):
        return settlement
    is_cancelled = ctrl_c.has_cancelled and isinstance(outcome, Cancelled)
    if is_cancelled or isinstance(outcome.error.exception, KeyboardInterrupt):
        return replace(settlement, outcome=Interrupted())
    return settlement
