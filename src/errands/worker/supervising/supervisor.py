"""The worker command's own process: it starts children and outlives them.

::

    SIGTERM, SIGINT, lifeline ends ──► stop: children finish, or give back
    the same once more             ──► at once
    SIGHUP, however often          ──► stop
    SIGUSR1                        ──► our stack is printed (child.py)
    grace + 10 s                   ──► SIGKILL
    a child dies                   ──► what it held is rescued; a new child
    none can be started            ──► again after 0.1 s, doubling to 30 s
    a task is overdue              ──► SIGKILL to its child; as above
    a child is hung (pulse.py)     ──► SIGKILL to it; as above
    a child leaves (--max-tasks)   ──► a new child
    somebody else stops a child    ──► a new child
    suspects wait                  ──► a quarantine process (quarantine.py)

It runs no task and holds none. All is done by the main thread, one thing after
the other: it looks around ten times a second, and at once after a signal, whose
handlers only put events into a queue, and see to it that no question to the
database outlasts that for long (asking.py). It has no other thread, so that children
can be copies of it (forking.py); but below ``runserver`` one follows a lifeline,
and children are new interpreters.

If it dies, by any cause, the lifelines of its children end and they stop as
after SIGTERM; one that would not ends itself (child.py). If a child dies while the
database is away, its rescue is tried again until it succeeds; if we die meanwhile,
the lease expires and any other worker rescues.
"""

import logging
import os
import platform
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from django.db import Error

from errands.queue.living.rescuing import rescue_worker
from errands.queue.store import Store
from errands.tasks.registry import registry
from errands.text import class_name, describe_exception
from errands.worker.misconfigured import WorkerBroken, refuse_what_is_misconfigured
from errands.worker.options import WorkerOptions
from errands.worker.outage import close_connections
from errands.worker.stopping import hangups, hearing
from errands.worker.supervising.asking import Asking
from errands.worker.supervising.child import show_on_demand
from errands.worker.supervising.forking import may_fork, preload
from errands.worker.supervising.lifeline import AT_ONCE, PATIENCE_SECONDS, STOP
from errands.worker.supervising.place import Loss, Place
from errands.worker.supervising.quarantine import Quarantine

logger = logging.getLogger("errands.worker")

TICK_SECONDS = 0.1
RESCUE_AGAIN_SECONDS = 5.0
STOPPED_SECONDS = 0.5
SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Where there is none, children that have ended are found by looking around.
CHILD_SIGNALS = (signal.SIGCHLD,) if hasattr(signal, "SIGCHLD") else ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the tasks a worker ran; cancelled and discarded are neither."""

    succeeded: int
    failed: int


class Supervisor:
    """Keeps ``--processes`` children at work until there is none left to do."""

    def __init__(self, options: WorkerOptions, say: Callable[[str], object]) -> None:
        self._options = options
        self._say = say
        self._store = Store(options.backend)
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._asking = Asking()
        self._agenda: list[tuple[float, Callable[[], None]]] = []
        self._places: list[Place] = []
        self._quarantine: Quarantine | None = None
        self._open: set[Place] = set()
        self._is_ready = False
        self._is_stopping = False
        self._broken_by = ""
        self._crashed = 0

    def run(self) -> Tally:
        """Work; raise ``WorkerBroken`` if the first children die at once."""
        refuse_what_is_misconfigured(self._store)
        show_on_demand()
        with tempfile.TemporaryDirectory(prefix="errands-") as name, self._signals():
            self._furnish(Path(name))
            while self._open:
                with suppress(Empty):
                    self._events.get(timeout=TICK_SECONDS)()
                self._do_what_is_due()
                self._look_around()
            tally = self._tally()
            for place in self._every_place:
                place.slots.close()
        if self._broken_by:
            raise WorkerBroken(
                f"A worker process ended before it was ready: {self._broken_by}. "
                "Its error is above."
            )
        return tally

    def stop(self) -> None:
        """Let children finish what runs, within their grace."""
        if self._is_stopping:
            return
        self._is_stopping = True
        self._open = {place for place in self._open if place.is_running}
        # First of all: nothing below may leave children behind.
        self._later(self._options.grace + PATIENCE_SECONDS, self._kill)
        self._order(STOP)
        self._say(f"stopping; running tasks have {self._options.grace:g} s")

    def _interrupt(self) -> None:
        if self._is_stopping:
            self._later(PATIENCE_SECONDS, self._kill)
            self._order(AT_ONCE)
        self.stop()

    def _load(self) -> None:
        """Load the site's tasks, where children can be copies that have them."""
        if not may_fork():
            return
        try:
            preload()
        except Exception as error:
            logger.exception("the site's tasks cannot be loaded")
            told = describe_exception(error) or class_name(type(error))
            raise WorkerBroken(
                f"The site's tasks cannot be loaded: {told.rstrip('.')}. "
                "Its error is above."
            ) from error

    def _furnish(self, directory: Path) -> None:
        self._load()
        self._places = [
            Place(directory / str(index), self._options.for_child(index))
            for index in range(self._options.children)
        ]
        self._quarantine = Quarantine(
            self._options, self._store, directory, asking=self._asking.asking
        )
        for place in self._places:
            self._start(place)
        if self._options.lifeline:
            self._follow_lifeline()

    def _start(self, place: Place) -> None:
        if self._is_stopping or place.is_running:
            return
        self._open.add(place)
        try:
            place.start()
        except OSError:
            logger.exception("the system does not let us start a process")
            self._later(place.next_pause(), partial(self._start, place))

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        due = [event for at, event in self._agenda if at <= now]
        self._agenda = [(at, event) for at, event in self._agenda if at > now]
        for event in due:
            event()

    def _look_around(self) -> None:
        """Look at what the children are, and what their words say."""
        for place in self._every_place:
            if place.has_ended:
                self._replace(place)
            place.kill_if_stuck()
            if place.reports_suspects() and self._quarantine:
                self._quarantine.call()
        if self._quarantine and not self._is_stopping:
            empty = self._quarantine.next_place()
            if empty is not None:
                self._start(empty)
        self._say_once_ready()

    def _replace(self, place: Place) -> None:
        """Deal with the end of a child."""
        loss = place.bury()
        if loss is not None:
            told = loss.worker_id, loss.name, loss.cause
            logger.warning("worker id=%s name=%s: %s", *told)
            self._rescue(place, loss)
            has_worked = self._is_ready or place.slots.is_ready
            if not (has_worked or self._is_stopping or place.options.quarantine):
                self._broken_by = loss.cause
                self.stop()
        is_over = loss is None and place.slots.is_done and not place.slots.is_leaving
        if is_over or self._is_stopping or place.options.quarantine:
            self._open.discard(place)
        elif loss is None and place.slots.is_leaving:
            self._start(place)
        elif loss is None:
            # Told to stop by somebody else; who told all of us tells us as well.
            self._later(STOPPED_SECONDS, partial(self._start, place))
        else:
            self._later(place.next_pause(), partial(self._start, place))

    def _rescue(self, place: Place, loss: Loss) -> None:
        """Take back what a dead child held.

        What it had started may have killed it and costs a crash, except when
        it left since we had told it to, or we killed it because it would not.
        Receivers are told here, so here the tasks have to be known.
        """
        try:
            if loss.started or loss.overdue:
                registry.load()
            with self._asking.asking():
                rescued = rescue_worker(
                    self._store,
                    loss.worker_id,
                    started=loss.started,
                    overdue=loss.overdue,
                    cause=loss.cause,
                )
        except Exception as error:
            logger.warning(
                "worker id=%s name=%s: its rescue has to wait",
                loss.worker_id,
                loss.name,
                exc_info=None if isinstance(error, Error) else error,
            )
            if not self._is_stopping:
                self._later(RESCUE_AGAIN_SECONDS, partial(self._rescue, place, loss))
        else:
            # The next child in this place goes by it, with --limit.
            place.slots.charge(sum(each.was_attempted for each in rescued))
            self._crashed += sum(rescue.has_ended for rescue in rescued)
            if self._quarantine and any(rescue.is_suspect for rescue in rescued):
                self._quarantine.call()
        finally:
            close_connections()

    def _say_once_ready(self) -> None:
        if self._is_ready or self._broken_by:
            return
        if all(place.slots.is_ready for place in self._places):
            self._is_ready = True
            self._say(describe(self._options))

    def _tally(self) -> Tally:
        slots = [place.slots for place in self._every_place]
        return Tally(
            succeeded=sum(each.succeeded for each in slots),
            failed=sum(each.failed for each in slots) + self._crashed,
        )

    def _order(self, order: bytes) -> None:
        for place in self._every_place:
            place.order(order)

    def _kill(self) -> None:
        for place in self._every_place:
            place.kill()

    @property
    def _every_place(self) -> list[Place]:
        ours = self._quarantine.places if self._quarantine else []
        return [*self._places, *ours]

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        self._agenda.append((time.monotonic() + seconds, event))

    def _tell(self, event: Callable[[], None]) -> None:
        """Have ourselves stop, also in the midst of a question."""
        self._asking.hurry()
        self._events.put(event)

    def _follow_lifeline(self) -> None:
        def follow() -> None:
            while os.read(0, 1024):
                pass
            self._tell(self.stop)

        threading.Thread(target=follow, name="errands-lifeline", daemon=True).start()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def tell(*signal_and_frame: object) -> None:
            del signal_and_frame
            self._tell(self._interrupt)

        def hang_up(*signal_and_frame: object) -> None:
            del signal_and_frame
            self._tell(self.stop)

        def look(*signal_and_frame: object) -> None:
            del signal_and_frame
            self._events.put(self._look_around)

        before = {number: signal.signal(number, tell) for number in SIGNALS}
        before |= {number: signal.signal(number, hang_up) for number in hangups()}
        before |= {number: signal.signal(number, look) for number in CHILD_SIGNALS}
        try:
            with hearing(*before):
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def describe(options: WorkerOptions) -> str:
    """Return the line that says the worker is ready, and for what."""
    name = options.name or f"{platform.node()}:{os.getpid()}"
    processes = "process" if options.children == 1 else "processes"
    threads = "thread" if options.executors == 1 else "threads"
    return (
        f"worker {name}: backend {options.backend}, queues {options.queues}, "
        f"{options.children} {processes} × {options.executors} {threads}, ready"
    )
