"""Whether a process still lets its threads run.

A task may hold the interpreter: a regular expression that backtracks, an
extension in C. Then no other thread of its process runs, the heartbeat's
neither, and no exception reaches it.

::

    in the child         a thread raises a number, about once a second
    in the supervisor    the number has stood still for longer than it may:
                         the child is hung

Where heartbeats are not rarer than half a lease, that is noticed before the lease
can end, in good time to take back what the child held: what had started is
suspect, and the others are as they were. Who
knows a lost worker only by its lease charges all of it, and runs the culprit
beside others.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from errands.conf import settings
from errands.queue.living.processes import is_stopped
from errands.worker.slots import Slots

LONGEST_PERIOD_SECONDS = 1.0
BEATS = 10
"""How many are missed at least before anybody draws conclusions."""
SHARE = 0.9
LONGEST_LOOK_SECONDS = 1.0


def longest_silence() -> timedelta:
    """Return how long a process may be silent before it is taken for hung.

    Nine tenths of what is left of a lease after the longest pause between two
    heartbeats, 22.5 s by default; half of the lease where heartbeats are rare.
    """
    lease, heartbeat = settings().lease, settings().heartbeat
    return max(SHARE * (lease - heartbeat), lease / 2)


class Pulse(threading.Thread):
    """Says again and again that threads run here; asks nobody, waits for nobody."""

    def __init__(self, slots: Slots) -> None:
        super().__init__(name="errands-pulse", daemon=True)
        self._slots = slots
        period = longest_silence().total_seconds() / BEATS
        self._period = min(period, LONGEST_PERIOD_SECONDS)

    def run(self) -> None:
        """Beat until the process ends."""
        while True:
            self._slots.beat()
            time.sleep(self._period)


class Silence:
    """How long another process has been silent, in time spent listening.

    Of the time between two looks a second counts at most: who was suspended
    together with that process, or asked a database that did not answer, was not
    listening. A process that somebody has stopped is not to blame either, where
    the system says so.
    """

    def __init__(
        self, slots: Slots, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._most = longest_silence().total_seconds()
        self.begin()

    def begin(self) -> None:
        """Listen to a new process."""
        self._heard = self._slots.beats
        self._looked_at = self._clock()
        self._seconds = 0.0

    def is_too_long(self, pid: int) -> bool:
        """Return whether the process is hung; to be asked once a second or more."""
        before, self._looked_at = self._looked_at, self._clock()
        heard, self._heard = self._heard, self._slots.beats
        if heard != self._heard:
            self._seconds = 0.0
        else:
            self._seconds += min(self._looked_at - before, LONGEST_LOOK_SECONDS)
        if self._seconds <= self._most:
            return False
        if is_stopped(pid):
            self._seconds = 0.0
            return False
        return True
