"""What each database's way of telling about changes has to offer."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from errands.worker.waking.bell import Bells


class Wiring(ABC):
    """A connection of its own to one alias; open while entered."""

    misses_nothing = True
    """Whether every commit is noticed, so that polls may be rare."""
    remedy = ""
    """What to do about it where it does not work."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._connection: BaseDatabaseWrapper = connections[alias].copy()

    def __enter__(self) -> Self:
        """Connect."""
        try:
            self._open()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._connection.close()

    @abstractmethod
    def is_sound(self) -> bool:
        """Return whether what others commit is noticed here."""

    @abstractmethod
    def wait(self, bells: Bells) -> None:
        """Wait for changes, a minute at most, and ring for them."""

    @abstractmethod
    def _open(self) -> None:
        """Prepare the connection."""
