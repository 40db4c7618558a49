"""What can go wrong at one boundary: death, an error, an answer that is lost.

A boundary is what separates two lines as far as the database can tell: before
and after each statement and each commit, on the connection of the calling
thread and on the sidecar. An operation meets its fault at the first boundary,
then, begun anew, at its second, and so on until it gets through.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from errands.sidecar import Sidecar

# What a process does outside its connection: methods by their classes.
SIDECAR: list[tuple[type, str]] = [(Sidecar, "update"), (Sidecar, "execute")]
WRITES = re.compile(r"\b(INSERT INTO|INSERT IGNORE|DELETE FROM|(?<!FOR )UPDATE) ")


class Faults:
    """Counts boundaries and strikes at one of them, and at all that follow."""

    def __init__(
        self,
        strike: Callable[[], None],
        *,
        at: int = 0,
        only_after: bool = False,
        outside: Sequence[tuple[type, str]] = SIDECAR,
    ) -> None:
        self.at = at
        self.only_after = only_after
        self.outside = outside
        self.passed = 0
        self.has_struck = False
        self._strike = strike

    def boundary(self) -> None:
        """Pass a boundary, or be struck there."""
        self.passed += 1
        if self.has_struck or self.passed == self.at:
            self.has_struck = True
            self._strike()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with a boundary before and after it."""

        def bounded(*args: Any, **kwargs: Any) -> Any:
            if not self.only_after:
                self.boundary()
            result = call(*args, **kwargs)
            self.boundary()
            return result

        return bounded

    def around_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, *rest: Any
    ) -> Any:
        """Put a boundary on both sides of a statement."""
        return self.around(execute)(sql, params, *rest)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Strike inside the block."""
        with ExitStack() as patches, pytest.MonkeyPatch.context() as patch:
            patches.enter_context(connection.execute_wrapper(self.around_statement))
            patch.setattr(connection, "commit", self.around(connection.commit))
            for owner, name in self.outside:
                patch.setattr(owner, name, self.around(getattr(owner, name)))
            yield


def die() -> None:
    """Be gone before the next line."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    """Raise what a driver raises when the server is gone."""
    raise gone()


def gone() -> OperationalError:
    """Return what a driver raises when the server is gone."""
    return OperationalError("server closed the connection unexpectedly")


@contextmanager
def lost_answer(*, delivered: bool) -> Iterator[list[str]]:
    """Lose the answer to the next write that would be committed.

    ``delivered`` says whether the server got and committed it. The block ends
    with ``OperationalError`` and a connection that is closed, unless nothing
    in it wrote; the list names what was lost.
    """
    lost: list[str] = []

    def lose(call: Callable[..., Any], name: str) -> Any:
        if lost:
            return call()
        lost.append(name)
        if delivered:
            call()
        raise gone()

    def statement(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        if not WRITES.search(sql) or connection.in_atomic_block:
            return execute(sql, params, *rest)
        return lose(lambda: execute(sql, params, *rest), sql)

    with pytest.MonkeyPatch.context() as patch:
        commit = connection.commit
        patch.setattr(connection, "commit", lambda: lose(commit, "COMMIT"))
        try:
            with connection.execute_wrapper(statement):
                yield lost
        finally:
            if lost:
                connection.close()
