"""``track``: iterate, count, and be stoppable between two items."""

from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from errands.runs.progress import ProgressWriter

CHUNK = 2_000


def track[T](
    progress: ProgressWriter,
    items: Iterable[T],
    *,
    total: int | None = None,
    title: object = "",
) -> Iterator[T]:
    """Yield the items; after each, count it and look whether to go on.

    The items join what was counted before, so that a job may track several
    things, or set ``progress.total`` for all of them first. Without a way to
    know how many there are, only the number done is shown.
    """
    if title:
        progress.status(title)
    expected = size_of(items, total)
    if expected is not None:
        progress.total = max(progress.total or 0, progress.current + expected)
    progress.flush()
    for item in rows_of(items):
        yield item
        progress.advance()
    progress.flush()


def size_of(items: Iterable[object], total: int | None) -> int | None:
    """Return how many items there are, None when only counting could tell.

    A ``total`` says it; without one, a queryset costs one COUNT.
    """
    if total is not None:
        given: object = total
        if not isinstance(given, Real | Decimal):
            raise TypeError(f"total is {given!r:.50}; it takes a number, or None.")
        return total
    if isinstance(items, QuerySet):
        return items.count()
    return len(items) if isinstance(items, Sized) else None


def rows_of[T](items: Iterable[T]) -> Iterable[T]:
    """Return the items, of a queryset never more than a chunk in memory."""
    if not isinstance(items, QuerySet):
        return items
    if _would_lock_itself_out(items):
        return _read_aside(items)
    return items.iterator(chunk_size=CHUNK)


def _would_lock_itself_out(rows: QuerySet[Any]) -> bool:
    """Return whether writing would fail while the rows are half read.

    SQLite refuses a write at once, without waiting ("database is locked"), on
    a connection that has a SELECT open from before another connection wrote.
    Inside ``atomic()`` nobody else writes, and in memory there is nobody else.
    """
    connection = connections[rows.db]
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return False
    return not connection.is_in_memory_db()  # type: ignore[attr-defined]


def _read_aside[T](rows: QuerySet[Any, T]) -> Iterator[T]:
    """Read on the connection of another thread, so that this one may write.

    All steps of the queryset's iterator are taken in that one thread, in the
    caller's language and time zone.
    """
    context, unread = copy_context(), rows.iterator(chunk_size=CHUNK)

    def next_chunk() -> list[T]:
        return list(islice(unread, CHUNK))

    def leave() -> None:
        unread.close()  # type: ignore[attr-defined]
        connections[rows.db].close()

    with ThreadPoolExecutor(1, thread_name_prefix="errands-track") as reader:
        try:
            while chunk := reader.submit(context.run, next_chunk).result():
                yield from chunk
        finally:
            reader.submit(leave).result()
