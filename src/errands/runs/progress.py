"""How far an attempt has come, written while it works.

Counting is a few additions; writing happens at most every half second. Words
(``status``, ``step``, ``log``) said in between are written by a timer, so that
a long call that follows them does not hide them. What is written is visible
even while the job is inside ``atomic()``.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from threading import RLock, Timer
from typing import Protocol

from errands.runs.control import Control
from errands.runs.eta import Pace
from errands.runs.progress_row import ProgressRow, Reading
from errands.runs.snapshot import Snapshot, of, read
from errands.text import clean_line

__all__ = ["ProgressWriter", "Snapshot", "of", "read"]

INTERVAL = 0.5
"""Seconds between two writes."""

LOG_LINES = 100
"""The last lines that are kept, each cut to 300 characters."""

LOG_LINE_LIMIT = 300

NEARLY_DONE = 99
"""What counting can reach; only the end of the run makes 100 %."""


LARGEST = 2**53 - 1
"""The largest count that is kept; a browser knows no larger one exactly."""


class Timing(Protocol):
    """The clock of a writer, replaced in tests."""

    def now(self) -> float:
        """Return seconds that never go backwards."""

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call later; return what calls it off."""


class RealTiming:
    """The monotonic clock and a timer thread."""

    now = staticmethod(time.monotonic)

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call later in a thread; return what calls it off."""
        timer = Timer(seconds, call)
        timer.daemon = True
        timer.start()
        return timer.cancel


class ProgressWriter:
    """The progress of one attempt: counts, words, and checkpoints.

    Each call is a checkpoint: there the job learns, at most half a second late,
    that it was cancelled or that its worker stops.
    """

    def __init__(
        self,
        row: ProgressRow,
        control: Control,
        *,
        attempt: int = 1,
        timing: Timing | None = None,
    ) -> None:
        self._row = row
        self._control = control
        self._attempt = attempt
        self._timing = timing or RealTiming()
        self._now = self._timing.now
        self._lock = RLock()
        self._call_off: Callable[[], None] | None = None
        self._pace = Pace()
        self._first_at = time.time()
        self._current = self._failed = 0
        self._total: int | None = None
        self._percent: int | None = None
        self._status = self._step = ""
        self._log: deque[dict[str, object]] = deque(maxlen=LOG_LINES)
        self._lines = 0
        self._due = self._now()

    @property
    def current(self) -> int:
        """Units done, failed ones included."""
        return self._current

    @property
    def total(self) -> int | None:
        """Units expected; None while nobody knows. May be set late."""
        return self._total

    @total.setter
    def total(self, total: int | None) -> None:
        given: object = total
        if not isinstance(given, Real | Decimal | None):
            raise TypeError(f"progress.total is {given!r:.50}; it is 0 or more, or None.")
        if total is not None and not total >= 0:  # nor may it be NaN
            raise ValueError(f"progress.total is {total!r}; it is 0 or more, or None.")
        self._total = None if total is None else min(total, LARGEST)
        self._say()

    def advance(self, count: int = 1) -> None:
        """Count units as done; costs less than 2 µs when nothing is due."""
        if count < 0:
            raise ValueError(f"advance({count!r}): progress never goes backwards.")
        self._current += count
        if self._now() >= self._due or self._control.is_urgent:
            self.flush()

    def failed(self, count: int = 1) -> None:
        """Count units as done and failed."""
        self._failed += count
        self.advance(count)

    def status(self, text: object) -> None:
        """Say what the job is doing; a lazy translation is rendered now."""
        self._status = clean_line(text)
        self._say()

    def step(self, title: object) -> None:
        """Say which step of the job begins."""
        self._step = clean_line(title)
        self._say()

    def log(self, text: object) -> None:
        """Keep a line for the page; the last 100 are shown."""
        line = clean_line(text, LOG_LINE_LIMIT)
        with self._lock:
            self._lines += 1
            self._log.append({"id": self._lines, "at": int(time.time()), "text": line})
        self._say()

    def flush(self) -> None:
        """Write now, and raise if the attempt should not go on."""
        self.write()
        self._control.check()

    def write(self) -> None:
        """Write now, without asking whether to go on. Never raises."""
        with self._lock:
            if self._call_off:
                self._call_off()
                self._call_off = None
            self._due = self._now() + INTERVAL
            self._row.write(self._reading())

    def _say(self) -> None:
        """Write words at once, or as soon as the interval is over."""
        wait = self._due - self._now()
        if wait <= 0 or self._control.is_urgent:
            self.flush()
            return
        with self._lock:
            if self._call_off is None:
                self._call_off = self._timing.after(wait, self.write)

    def _reading(self) -> Reading:
        current = min(self._current, LARGEST)
        self._pace.observe(self._now(), current)
        if self._total:
            reached = min(NEARLY_DONE, current * 100 // self._total)
            self._percent = max(self._percent or 0, reached)
        return Reading(
            attempt=self._attempt,
            current=current,
            total=self._total,
            percent=self._percent,
            failed=min(self._failed, LARGEST),
            status=self._status,
            step=self._step,
            log=json.dumps(list(self._log)),
            rate=self._pace.rate,
            first_at=self._first_at,
            updated_at=time.time(),
        )
