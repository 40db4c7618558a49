"""Whether a process is stopping, and until when it may."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

from errands.tasks.interrupting import Control


class Stop:
    """Asked for by a signal or the lifeline, seen by every thread.

    A request tells running attempts to reach a checkpoint and gives them
    ``grace`` seconds, which ``insist`` takes away. Nothing here takes a lock,
    because a signal handler may call it at any line.
    """

    def __init__(
        self, grace: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.control = Control()
        self._grace = grace
        self._clock = clock
        self._deadline = inf
        self._was_terminated = False
        self.wake: Callable[[], object] = lambda: None
        """Called after each change, maybe by a signal handler."""

    def terminate(self, *signal_and_frame: object) -> None:
        """Handle SIGTERM: a request, and from the second one on an order."""
        del signal_and_frame
        if self._was_terminated:
            self.insist()
        self._was_terminated = True
        self.request()

    def hang_up(self, *signal_and_frame: object) -> None:
        """Handle SIGHUP: a request, however often it comes."""
        del signal_and_frame
        self.request()

    def request(self) -> None:
        """Stop when the running attempts have ended; asking again is nothing."""
        if not self.is_requested:
            self._deadline = self._clock() + self._grace
            self.control.should_stop = True
            self.wake()

    def insist(self) -> None:
        """Stop at once."""
        self.control.should_stop = True
        self._deadline = self._clock()
        self.wake()

    @property
    def is_requested(self) -> bool:
        """Whether nothing may be claimed or started any more."""
        return self.control.should_stop

    @property
    def is_overdue(self) -> bool:
        """Whether running attempts are given back instead of waited for."""
        return self._clock() >= self._deadline


def hangups() -> tuple[signal.Signals, ...]:
    """Return SIGHUP, which a terminal that closes sends to all of us.

    Nothing where the system has none, or it is ignored: that is what ``nohup`` does.
    """
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        return (signal.SIGHUP,)
    return ()


@contextmanager
def hearing(*numbers: int) -> Iterator[None]:
    """Let signals arrive in this thread that who has started us may have blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
