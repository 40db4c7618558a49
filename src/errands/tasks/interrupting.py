"""Ending a running attempt from outside, by an exception in its own code.

::

    another thread ── interrupt(TaskCancelled) ──► raised in the attempt

In a thread the exception comes at the next line of Python; a call into C, such
as ``time.sleep``, returns first. A coroutine gets it where it awaits. What the
outside asks for before the code has begun is raised at its first line; after it
has returned, nowhere. The stretch that can be hit opens and closes under a
lock, and who closes it takes back what has not arrived. So an exception
reaches the code it is meant for, or nothing.

Each reason is raised once. Code that catches it goes on. Python itself drops
what is raised in a finalizer or a weak reference's callback; a process that
has called ``raise_again_what_python_drops`` gets it at the next line.
"""

import ctypes
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from errands.exceptions import TaskCancelled, TaskTimeout

REASONS = (TaskCancelled, TaskTimeout)

AGAIN_SECONDS = 0.01

type Reason = type[TaskCancelled] | type[TaskTimeout]
type Delivery = Callable[[Reason], object]

_running: dict[int, "Control"] = {}
"""The controls of the attempts that run in threads, by thread."""


class Control:
    """What the outside asks of a running attempt.

    Engines pass one to each attempt and use it from another thread.
    ``process`` is the control that all attempts of a process share.
    """

    def __init__(self, process: "Control | None" = None) -> None:
        self.asked: Reason | None = None
        """The latest reason."""
        self.is_cooperative = False
        """Whether the attempt asks by itself, at its checkpoints (jobs do)."""
        self._process = process
        self._should_stop = False
        self._reasons: tuple[Reason, ...] = ()
        self._deliver: Delivery | None = None
        self._lock = threading.RLock()

    @property
    def should_stop(self) -> bool:
        """Whether the worker is stopping."""
        stops = self._process is not None and self._process.should_stop
        return stops or self._should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self._should_stop = value

    @property
    def cancel_requested(self) -> bool:
        """Whether somebody cancelled the task."""
        return TaskCancelled in self._reasons

    def interrupt(self, reason: Reason) -> None:
        """End the attempt with an exception of that class; asking again is nothing."""
        with self._lock:
            if reason in self._reasons:
                return
            self._reasons = (*self._reasons, reason)
            self.asked = reason
            if self._deliver is not None and not self.is_cooperative:
                self._deliver(reason)

    def interrupt_again(self, reason: Reason) -> None:
        """Raise what has been asked for once more, unless the attempt has ended."""
        with self._lock:
            if self._deliver is not None:
                self._deliver(reason)

    def open(self, deliver: Delivery) -> None:
        """Let interruptions arrive from now on; one asked for before arrives now."""
        with self._lock:
            self._deliver = deliver
            if self.asked is not None and not self.is_cooperative:
                deliver(self.asked)

    def close(self) -> None:
        """Let nothing arrive any more in this thread, which is the attempt's.

        From Python 3.14 on, an exception may come when a lock has been taken and the
        block that gives it back has not begun; so it is given back here.
        """
        with self._lock:
            self._deliver = None
        if self.asked is not None:
            with suppress(RuntimeError):
                while True:
                    self._lock.release()


def run_interruptible[T](control: Control, function: Callable[[], T]) -> T:
    """Call a function that ``control`` can interrupt, in this thread.

    Where the function has returned, or raised, before the exception arrived,
    that counts.
    """
    thread = threading.get_ident()
    around = _running.get(thread)
    _running[thread] = control
    returned: list[T] = []
    failure: BaseException | None = None
    try:
        control.open(partial(_raise_in, thread))
        returned.append(function())
    except BaseException as raised:  # noqa: BLE001 - raised again below
        failure = raised
    # Whatever is still on its way may arrive in the lines that shut it out. There
    # are two reasons, so the third time nothing disturbs.
    try:
        _shut_out(control, thread)
    except REASONS:
        try:
            _shut_out(control, thread)
        except REASONS:
            _shut_out(control, thread)
    if around is None:
        del _running[thread]
    else:
        _running[thread] = around
    if returned:
        return returned[0]
    try:
        raise failure or RuntimeError
    finally:
        # The traceback refers to this frame.
        failure = None


def raise_again_what_python_drops() -> None:
    """Let no interruption get lost in a finalizer; for a process that is ours."""
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        control = _running.get(threading.get_ident())
        if unraisable.exc_type in REASONS and control is not None:
            # By another thread: raised by this one, it would be dropped with the hook.
            start_new_thread(_again, (control, unraisable.exc_type))
        else:
            before(unraisable)

    sys.unraisablehook = hook


def _again(control: Control, reason: Reason) -> None:
    time.sleep(AGAIN_SECONDS)
    control.interrupt_again(reason)


def _shut_out(control: Control, thread: int) -> None:
    control.close()
    if control.asked is not None:
        _set_exception(thread, None)


def _raise_in(thread: int, reason: Reason) -> None:
    _set_exception(thread, ctypes.py_object(reason))


def _set_exception(thread: int, kind: object) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), kind)
