"""Questions to the database that keep no supervisor from stopping.

It has one thread, which waits for what it asks. A table may be locked for minutes, and
a server that vanishes without a word is noticed after a quarter of an hour; so long
nobody would tell the children to stop, or kill those that do not.

::

    told to stop while it waits   ──► 3 s later SIGALRM, again and again ──► Unanswered
    asking while it is stopping   ──► the same; 0.2 s after the first Unanswered

What is not rescued then is left to the lease. A driver that waits in C until there is
an answer (mysqlclient) is waited for, and so is any where the system has no such
signal.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError

PATIENCE_SECONDS, AGAIN_SECONDS = 3.0, 0.2
ALARM: signal.Signals | None = getattr(signal, "SIGALRM", None)


class Unanswered(OperationalError):
    """The database did not answer while the supervisor was to stop."""


class Asking:
    """What the main thread asks, and what a signal makes of it."""

    def __init__(self, *, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._is_asking = False
        self._is_hurried = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask inside the block; ``Unanswered`` is raised there, if at all."""
        if ALARM is None:
            yield
            return
        before = signal.signal(ALARM, self._end_it)
        try:
            self._is_asking = True
            try:
                if self._is_hurried:
                    self._set_alarm(self._patience)
                yield
            finally:
                self._is_asking = False
        finally:
            # Once more: it may have been raised one line above.
            self._is_asking = False
            self._set_alarm(0.0)
            signal.signal(ALARM, before or signal.SIG_DFL)

    def hurry(self) -> None:
        """Wait no longer than for a moment from now on; a signal handler may call it."""
        if not self._is_hurried:
            self._is_hurried = True
            if self._is_asking:
                self._set_alarm(self._patience)

    def _set_alarm(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)

    def _end_it(self, *signal_and_frame: object) -> None:
        del signal_and_frame
        if self._is_asking:
            self._patience = min(self._patience, AGAIN_SECONDS)
            raise Unanswered("the database does not answer, and we are to stop")
