"""A place for one child process: started, watched, given orders, replaced.

::

    empty ──start──► running ──goodbye───────► empty: done, stopped, or leaving
      ▲                 │
      ├─── at once ─────┼──overdue or hung: killed──► empty: a loss
      └─── back-off ────┴──anything else────────────► empty: a loss
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from errands.queue.living.liveness import default_name
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.supervising import child
from errands.worker.supervising.forking import close_databases, fork, may_fork
from errands.worker.supervising.lifeline import Lifeline
from errands.worker.supervising.pulse import Silence, longest_silence
from errands.worker.supervising.spawning import spawn_python

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
PROVEN_SECONDS = 10.0
OVERDUE = "killed because a task was past its timeout and would not end"
HUNG = "killed because for {:g} s a task had let no other thread run"
UNWILLING = "killed because it would not stop"
SHOWING_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Loss:
    """What a child left behind that did not end by itself."""

    worker_id: UUID
    name: str
    cause: str
    started: frozenset[int] = frozenset()
    """The tasks that may have killed it."""

    overdue: frozenset[int] = frozenset()
    """The tasks it was killed for."""


class Process(Protocol):
    """What a child is to us, however it was made."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""

    def kill(self) -> None:
        """End it without asking."""


class Place:
    """Where one child at a time runs."""

    def __init__(self, path: Path, options: WorkerOptions) -> None:
        self.options = options
        self.slots = Slots.create(path, places=options.places)
        self._process: Process | None = None
        self._lifeline: Lifeline | None = None
        self._started_at = 0.0
        self._pause = 0.0
        self._reports = 0
        self._silence = Silence(self.slots)
        self._killed_for = ""
        self._killed_ns = 0
        self._is_told = False

    @property
    def name(self) -> str:
        """What the child that is here is called in results."""
        return self._name_of(self._process)

    @property
    def is_running(self) -> bool:
        """Whether a child is here."""
        return self._process is not None

    @property
    def has_ended(self) -> bool:
        """Whether the child that was here has died, or is done."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start a child under a fresh id; ``OSError`` where the system refuses."""
        self.slots.prepare(uuid4())
        self._killed_for, self._is_told = "", False
        lifeline = Lifeline()
        try:
            self._process = self._begin(lifeline.reader)
        except OSError:
            lifeline.close()
            raise
        finally:
            lifeline.hand_over()
        self._lifeline, self._started_at = lifeline, time.monotonic()
        self._silence.begin()

    def order(self, order: bytes) -> None:
        """Tell the child to stop, through its lifeline."""
        self._is_told = True
        if self._lifeline:
            self._lifeline.order(order)

    def kill(self) -> None:
        """End the child without asking; what it has started is not to blame."""
        if self._process and not self.has_ended:
            self._killed_for = self._killed_for or UNWILLING
            self._process.kill()

    def kill_if_stuck(self) -> None:
        """End a child in which a task is overdue, or that is hung."""
        if not self._process or self._killed_for:
            return
        if self.slots.overdue():
            self._killed_for = OVERDUE
        elif self.slots.is_ready and self._silence.is_too_long(self._process.pid):
            self._killed_for = HUNG.format(longest_silence().total_seconds())
            self._show()
        else:
            return
        self._killed_ns = time.monotonic_ns()
        self._process.kill()

    def reports_suspects(self) -> bool:
        """Return whether the child has seen suspects since the last question."""
        before, self._reports = self._reports, self.slots.reports
        return self._reports != before

    def bury(self) -> Loss | None:
        """Clear the place of a child that has ended; return what was lost."""
        process, code = self._process, self._process.poll() if self._process else None
        if self._lifeline:
            self._lifeline.close()
        self._process = self._lifeline = None
        if not code and self.slots.has_said_goodbye:
            return None
        worker_id, name = self.slots.worker_id, self._name_of(process)
        if self._killed_for == OVERDUE:
            # What had ended between the look and the kill is not to blame.
            overdue = frozenset(self.slots.overdue(self._killed_ns))
            return Loss(worker_id, name, OVERDUE, overdue=overdue)
        cause = self._killed_for or cause_of_death(code or 0)
        # Told to stop, it leaves also where it could not give back what it had started.
        has_left = self._is_told and (code or 0) >= 0
        started = () if has_left or cause == UNWILLING else self.slots.started
        return Loss(worker_id, name, cause, started=frozenset(started))

    def next_pause(self) -> float:
        """Return the seconds to wait before the next child.

        0.1 s, doubling to 30 s while children die within 10 s by themselves.
        """
        if self._killed_for or time.monotonic() - self._started_at > PROVEN_SECONDS:
            self._pause = 0.0
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        return self._pause

    def _name_of(self, process: Process | None) -> str:
        return self.options.name or default_name(process.pid if process else 0)

    def _show(self) -> None:
        """Have a hung child print what each of its threads does (child.py)."""
        if self._process and hasattr(signal, "SIGUSR1"):
            with suppress(OSError):
                os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(SHOWING_SECONDS)

    def _begin(self, standard_input: int) -> Process:
        """Make a copy of this process where that is sound, else a new one."""
        told = str(self.slots.path), self.options.dump()
        close_databases()
        if may_fork():
            return fork(partial(child.main, *told), standard_input)
        return spawn_python("-m", child.__name__, *told, standard_input=standard_input)


def cause_of_death(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"
