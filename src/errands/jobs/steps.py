"""Steps: where a job goes on after an interruption."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from django.db import Error

from errands.arguments import decode, encode
from errands.exceptions import LeaseLost
from errands.jobs.tracking import rows_of, size_of
from errands.runs.possession import Possession

logger = logging.getLogger("errands.jobs")

INTERVAL = 0.5
"""Seconds between two checkpoints; an item is some 2 µs, a write some ms."""


class Step:
    """A part of a job that goes on at its last finished item.

    ``cursor`` is what ``track`` was told about that item, None at first. It
    keeps its type, and is stored with the run at most every 0.5 s, and when
    the block is left for whatever reason. After a crash up to 0.5 s of items
    come again: what is done with an item must bear that.
    """

    def __init__(self, possession: Possession, name: str, *, title: object) -> None:
        self.name = name
        self._possession = possession
        self._title = title
        self._all: dict[str, Any] = json.loads(possession.run.checkpoint or "{}")
        stored = self._all.get(name, {})
        self.cursor: Any = decode(stored["cursor"]) if "cursor" in stored else None
        self._done: int = stored.get("done", 0)
        self._done_before = self._done
        self._is_stored = True
        self._due = time.monotonic() + INTERVAL

    def __enter__(self) -> Self:
        progress = self._possession.progress
        progress.step(self._title or self.name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_stored or isinstance(error, LeaseLost):
            return
        try:
            self._store()
        except Error:
            # An outage, or a transaction the block has broken; its own error
            # says more.
            if error is None:
                raise
            logger.warning("Step %r: checkpoint not written", self.name, exc_info=True)

    def track[T](
        self,
        items: Iterable[T],
        *,
        cursor: Callable[[T], Any],
        total: int | None = None,
    ) -> Iterator[T]:
        """Yield the items and note ``cursor(item)`` after each.

        Pass what is left: the items after ``step.cursor``, in the order of
        their cursors. ``total`` is how many are left; counted as by
        ``Job.track`` if not given. Those done before count as done.
        """
        progress = self._possession.progress
        left = size_of(items, total)
        progress.advance(self._done_before)
        self._done_before = 0  # a step may track one page after the other
        if left is not None:
            progress.total = max(progress.total or 0, progress.current + left)
        for item in rows_of(items):
            yield item
            self.reach(cursor(item))
            progress.advance()
        progress.flush()

    def reach(self, cursor: Any) -> None:
        """Note that everything up to ``cursor`` is done."""
        self.cursor = cursor
        self._done += 1
        self._is_stored = False
        if time.monotonic() >= self._due:
            self._store()

    def _store(self) -> None:
        """Write the checkpoint, behind the fence of the attempt."""
        self._all[self.name] = {"cursor": encode(self.cursor), "done": self._done}
        run = self._possession.run
        run.checkpoint = json.dumps(self._all)
        self._possession.write(checkpoint=run.checkpoint)
        self._is_stored = True
        self._due = time.monotonic() + INTERVAL
