"""The pipe between a supervisor and a child: orders, and its end.

It is the child's standard input.

::

    b"s"    stop, when the running attempts have ended
    b"!"    stop at once
    end     the supervisor is gone, however it died: like b"s"

A pipe ends with the process that holds it, on every platform and for every
cause of death; that is why children need no other way to notice.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from errands.worker.stopping import Stop

STOP, AT_ONCE = b"s", b"!"
PATIENCE_SECONDS = 10.0
"""How long after its grace a child may still be there."""

_held: set["Lifeline"] = set()


class Lifeline:
    """The supervisor's end."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        _held.add(self)

    def hand_over(self) -> None:
        """Let go of the child's end, once the child has it."""
        os.close(self.reader)

    def order(self, order: bytes) -> None:
        """Tell the child something, if it is still there."""
        with suppress(OSError):
            os.write(self._writer, order)

    def close(self) -> None:
        """End it."""
        _held.discard(self)
        os.close(self._writer)


def close_lifelines() -> None:
    """Let go of those that a copy of the supervisor got with everything else.

    While anybody holds one, it does not end with the supervisor.
    """
    for lifeline in list(_held):
        lifeline.close()


def take_standard_input() -> int:
    """Return a private copy of standard input and leave the null device.

    A task's subprocess inherits standard input. It must neither eat the
    supervisor's orders nor wait for them.
    """
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


def follow(
    lifeline: int, stop: Stop, *, afterwards: Callable[[], object] = lambda: None
) -> threading.Thread:
    """Obey the lifeline in a thread of its own, and call something when it has ended."""
    thread = threading.Thread(
        target=_obey,
        args=(lifeline, stop, afterwards),
        name="errands-lifeline",
        daemon=True,
    )
    thread.start()
    return thread


def _obey(lifeline: int, stop: Stop, afterwards: Callable[[], object]) -> None:
    # A task may have closed it, or put something else in its place.
    with suppress(OSError):
        while order := os.read(lifeline, 1):
            if order == AT_ONCE:
                stop.insist()
            else:
                stop.request()
    stop.request()
    afterwards()
