"""What the bench asks of every queue it measures."""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

THREADS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer keeps its tasks: one database that nobody else uses."""

    engine: str
    """``postgresql``, ``sqlite`` or ``redis``."""
    url: str
    """A URL; for SQLite the path of the file."""


class Peer(ABC):
    """A queue, driven as its own documentation says it is fastest.

    Instances live in a process of their own. Where a queue is a Django app,
    Django is set up, with its tables made, before the instance is.
    """

    name: ClassVar[str]
    engines: ClassVar[tuple[str, ...]]
    fair: ClassVar[str]
    """The settings it runs with, and why these: a line of the report."""
    apps: ClassVar[tuple[str, ...]] = ()
    """Its Django apps; none: it gets no Django."""
    django_settings: ClassVar[dict[str, object]] = {}
    is_bulk: ClassVar[bool] = True
    """Whether it has an enqueue of many; else they are enqueued one by one."""
    is_threaded: ClassVar[bool] = False
    """Whether one process of it can run tasks in threads."""
    drained: ClassVar[int] = 20_000
    """How many tasks one drain has: some 2 s of work."""
    is_quick: ClassVar[bool] = False
    """Whether one process of it drains a backlog of 100,000 in seconds."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def prepare(self) -> None:
        """Make what the queue needs in its empty database."""

    @abstractmethod
    def enqueue_each(self, number: int) -> None:
        """Enqueue tasks one at a time, each durable before the next."""

    def enqueue_many(self, number: int) -> None:
        """Enqueue many tasks in the fastest way there is."""
        self.enqueue_each(number)

    @abstractmethod
    def unfinished(self) -> int:
        """Return how many tasks the queue itself says have not ended."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all tasks, and what is remembered of ended ones."""

    @abstractmethod
    def workers(self, processes: int) -> list[list[str]]:
        """Return the commands that start workers of so many processes in all."""

    def threaded_workers(self) -> list[list[str]]:
        """Return the commands that start one process with ``THREADS`` threads.

        Asked only of who ``is_threaded``; unless told otherwise it always has them.
        """
        return self.workers(1)


def python(*arguments: str) -> list[str]:
    """Return a command of this Python."""
    return [sys.executable, *arguments]
