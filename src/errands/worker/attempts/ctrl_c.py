"""Ctrl-C in somebody's own process, told from a task that raises what it raises.

A function gets its ``KeyboardInterrupt`` as anywhere. A coroutine runs on a loop in
another thread, which Python would leave behind, at work: so it is cancelled, and the
second time its caller does not wait for it any more. In a thread that gets no signals
nobody presses anything, nor where the signal is ignored, as in what a shell has started
in the background; where the site has put a handler of its own, every
``KeyboardInterrupt`` may be one.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from errands.exceptions import TaskCancelled
from errands.worker.attempts.attempt import Attempt


class CtrlC:
    """Listens while one attempt is made, in the thread that makes it."""

    def __init__(self) -> None:
        self.was_pressed = False
        self._attempt: Attempt | None = None
        self._is_heard = False

    def concerns(self, attempt: Attempt) -> None:
        """Take an attempt for the one that is pressed at from now on."""
        self._attempt = attempt

    @contextmanager
    def heard(self) -> Iterator[Self]:
        """Listen while the block runs."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            self._is_heard = handler is signal.default_int_handler
            self.was_pressed = callable(handler) and not self._is_heard
        if self._is_heard:
            signal.signal(signal.SIGINT, self._press)
        try:
            yield self
        finally:
            if self._is_heard:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def has_cancelled(self) -> bool:
        """Whether it was pressed, and a coroutine cancelled instead of raising."""
        return self._is_heard and self.was_pressed and self._is_async

    def _press(self, number: int, frame: FrameType | None) -> None:
        is_first, self.was_pressed = not self.was_pressed, True
        if is_first and self._attempt is not None and self._attempt.is_async:
            self._attempt.control.interrupt(TaskCancelled)
        else:
            signal.default_int_handler(number, frame)

    @property
    def _is_async(self) -> bool:
        return self._attempt is not None and self._attempt.is_async
