"""What the wakers of a process ring, and when somebody looks unasked.

::

    a ring        look now; one in 8 ms, however many ring
    25 ms later   look once more: senders swallow rings for 15 ms
    6 s           look, while a waker is at work
    less          look, while there is none
"""

import threading
import time
from collections.abc import Callable
from math import inf

from errands.queue.committing.waking import LONGEST_SLEEP, WakeUp

PAUSE_SECONDS = 0.008
AGAIN_SECONDS = 0.025


class Bell:
    """Rung from any thread for the one that looks."""

    def __init__(
        self,
        tell: Callable[[None], object],
        *,
        poll: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_wired = False
        """Whether rings are known to arrive, so that polls may be rare."""
        self._tell = tell
        self._poll = poll
        self._clock = clock
        self._told_at = -inf
        self._again_at = inf
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Let the thread look at once, and once more a little later."""
        with self._lock:
            now = self._clock()
            self._again_at = now + AGAIN_SECONDS
            if now - self._told_at < PAUSE_SECONDS:
                return
            self._told_at = now
        self._tell(None)

    def look(self) -> None:
        """Note that the thread is about to look."""
        with self._lock:
            if self._clock() >= self._again_at:
                self._again_at = inf

    @property
    def poll_seconds(self) -> float:
        """How long the thread need not look while nobody rings."""
        return LONGEST_SLEEP.total_seconds() if self.is_wired else self._poll

    @property
    def patience(self) -> float:
        """The seconds until the thread looks unasked."""
        return min(self.poll_seconds, max(0.0, self._again_at - self._clock()))


class Bells:
    """The bells of one process: who claims has one, and upkeep another."""

    def __init__(self, courier: Bell, upkeep: Bell) -> None:
        self.courier = courier
        self.upkeep = upkeep

    def ring(self, call: WakeUp) -> None:
        """Ring for whom the call is meant."""
        bell = self.courier if call is WakeUp.READY else self.upkeep
        bell.ring()

    def ring_all(self) -> None:
        """Ring for everybody: something may have been missed."""
        self.courier.ring()
        self.upkeep.ring()

    def wire(self, *, is_wired: bool) -> None:
        """Note whether rings arrive from other processes."""
        self.courier.is_wired = self.upkeep.is_wired = is_wired
