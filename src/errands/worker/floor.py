"""Who of a process runs Python: the courier first, executors while it waits.

Python runs one thread at a time, and lets them take turns without asking who is
waited for. Among executors with quick tasks the courier got one turn in six: it held
an answer of the database and could not read it, until they had nothing left to do
and stood idle as well, while it asked for more. So it takes the floor for what it
does in Python, and leaves it for as long as it waits: for outcomes, or for the
database. Executors ask between two tasks; whoever runs one goes on. Where no more
came back than threads can run, nobody has to wait: they begin what they are given.

It is a courtesy: where the courier cannot leave, as when it connects to a server that
does not answer, each task starts all the same, a little later.
"""

from collections.abc import Callable
from threading import Event
from typing import Any

LONGEST_SECONDS = 0.02


class Floor:
    """Taken and left by the courier."""

    def __init__(self) -> None:
        self._is_free = Event()
        self._is_free.set()

    @property
    def is_free(self) -> bool:
        """Whether executors may begin tasks."""
        return self._is_free.is_set()

    def take(self) -> None:
        """Let executors begin nothing for now."""
        self._is_free.clear()

    def leave(self) -> None:
        """Let them go on."""
        self._is_free.set()

    def wait(self) -> None:
        """Wait until it is left, but not for long."""
        if not self._is_free.is_set():
            self._is_free.wait(LONGEST_SECONDS)

    def left(self, execute: Callable[..., Any], *asked: Any) -> Any:
        """Leave it while the database is asked; an ``execute_wrapper`` of Django's.

        In a transaction it is not taken again: the COMMIT waits as well.
        """
        is_taken = not self.is_free
        self.leave()
        answer = execute(*asked)
        *_, context = asked
        if is_taken and not context["connection"].in_atomic_block:
            self.take()
        return answer
