"""What reaches an attempt while it runs: cancels, and the end of its time.

::

    timeout                 TaskTimeout is raised in it
    timeout + TIMEOUT_GRACE the supervisor kills the process

A cancel is a column of the task's row; upkeep reads it for what runs here, at
once where it is woken, else within seconds.
"""

import threading
import time
from datetime import timedelta
from math import inf
from typing import Self

from errands.conf import settings
from errands.exceptions import TaskCancelled, TaskTimeout
from errands.tasks.interrupting import Control
from errands.worker.attempts.attempt import Attempt
from errands.worker.workplace import Workplace

LONGEST_TIMEOUT = timedelta(days=3650)
LONGEST_WAIT_SECONDS = 3600.0


def relay_cancels(workplace: Workplace) -> None:
    """Tell the attempts that run here of the cancels somebody has asked for."""
    for task in workplace.store.cancel_requests(workplace.slots.worker_id):
        control = workplace.controls.get(task)
        if control is not None:
            control.interrupt(TaskCancelled)


class Oversight:
    """Watches over the attempts of one process."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.alarms = Alarms()


class Watch:
    """One attempt, which can be ended from outside while this is entered."""

    __slots__ = ("_attempt", "_oversight", "_place", "_task", "_timeout")

    def __init__(self, oversight: Oversight, attempt: Attempt, place: int) -> None:
        self._oversight = oversight
        self._attempt = attempt
        self._place = place
        self._task = (attempt.claim.id, attempt.claim.token)
        self._timeout = attempt.timeout

    def __enter__(self) -> Self:
        """Begin to watch: a cancel arrives from now on."""
        self._oversight.workplace.controls[self._task] = self._attempt.control
        return self

    def start_time(self) -> None:
        """Let the time of the attempt run: its first line is next."""
        workplace, control = self._oversight.workplace, self._attempt.control
        if self._timeout is not None:
            timeout = min(self._timeout, LONGEST_TIMEOUT)
            overdue = min(timeout + settings().timeout_grace, LONGEST_TIMEOUT)
            overdue_ns = time.monotonic_ns() + round(overdue.total_seconds() * 1e9)
            workplace.slots.limit(self._place, overdue_ns)
            self._oversight.alarms.set(self._place, timeout.total_seconds(), control)

    def __exit__(self, *raised: object) -> None:
        """Watch no more."""
        workplace = self._oversight.workplace
        workplace.controls.pop(self._task, None)
        if self._timeout is not None:
            self._oversight.alarms.clear(self._place)
            workplace.slots.free(self._place)


class Alarms:
    """Raises ``TaskTimeout`` in attempts whose time is over.

    One for each place, so that quick tasks with long timeouts leave nothing
    behind. The thread begins with the first, and ends where none is left. One that
    rings while it is being cleared rings for nobody: the control of that attempt is
    closed.
    """

    def __init__(self) -> None:
        self._alarms: dict[int, tuple[float, Control]] = {}
        self._changed = threading.Condition()
        self._wakes_at = inf
        self._has_begun = False

    def set(self, place: int, seconds: float, control: Control) -> None:
        """Interrupt what runs in a place after so many seconds."""
        rings_at = time.monotonic() + seconds
        self._alarms[place] = rings_at, control
        # Read after it was written: the thread does it the other way round.
        if rings_at < self._wakes_at:
            self._wake()

    def clear(self, place: int) -> None:
        """Let what ran there go on; it has ended."""
        self._alarms.pop(place, None)

    def ring(self) -> float:
        """Interrupt those whose time is over; return the seconds to the next."""
        now, alarms = time.monotonic(), self._alarms.copy()
        left = [LONGEST_WAIT_SECONDS]
        for rings_at, control in alarms.values():
            if rings_at <= now:
                control.interrupt(TaskTimeout)
            else:
                left.append(rings_at - now)
        return min(left)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()
            if not self._has_begun:
                name = "errands-alarms"
                threading.Thread(target=self._run, name=name, daemon=True).start()
                self._has_begun = True

    def _run(self) -> None:
        """Ring, until none is set when the next would be due."""
        with self._changed:
            while True:
                # Whoever sets one from here on waits for the lock, and wakes us.
                self._wakes_at = inf
                seconds = self.ring()
                if not self._alarms:
                    self._has_begun = False
                    return
                self._wakes_at = time.monotonic() + seconds
                self._changed.wait(seconds)
