"""What is written of a claimed row, which is left in one of two ways.

A ``Finish`` moves it to the results, or drops it; a ``Requeue`` makes it live again.
Both name the token they were decided under (``writing/deciding.py``).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from errands.tasks.outcomes import AttemptError


class Finish(NamedTuple):
    """A live row becomes a result."""

    id: int
    token: int
    status: int
    attempt: int
    crashes: int
    errors: str
    worker_ids: str
    return_value: str | None
    started_at: datetime | None
    finished_at: datetime
    metadata: str | None = None
    expires_at: datetime | None = None
    concurrency_key: str | None = None
    refusal: AttemptError | None = None
    """Why the database did not take what should have been written."""
    is_dropped: bool = False
    """Whether it becomes no result: the live row goes, and nothing is written."""

    @property
    def columns(self) -> tuple[Any, ...]:
        """What statements write: ``FINISH_COLUMNS``."""
        return self[:-3]

    def as_result(self) -> "Finish":
        """Return the same as a result that expires at once, for who reads it back."""
        return self._replace(is_dropped=False)


class Requeue(NamedTuple):
    """A claimed row becomes claimable again, at once or when due.

    ``unless_started`` is for a task that must not be started twice: where it
    has been started, the row is left as it is, to end as ``lost`` says.
    """

    id: int
    token: int
    state: int
    run_at: datetime | None
    attempt: int
    crashes: int
    releases: int
    errors: str
    worker_ids: str
    started_at: datetime | None
    metadata: str | None = None
    unless_started: bool = False
    concurrency_key: str | None = None
    lost: Finish | None = None

    @property
    def columns(self) -> tuple[Any, ...]:
        """What statements write: ``REQUEUE_COLUMNS``."""
        return self[:-2]

    def noting(self, metadata: str | None) -> "Requeue":
        """Return the same with new metadata, whatever becomes of it."""
        lost = self.lost and self.lost._replace(metadata=metadata)
        return self._replace(metadata=metadata, lost=lost)


type Record = Finish | Requeue

FINISH_COLUMNS, REQUEUE_COLUMNS = Finish._fields[:-3], Requeue._fields[:-2]


class Batch(NamedTuple):
    """Records that are written together, by what is written."""

    finished: list[Finish]
    dropped: list[Finish]
    requeued: list[Requeue]
    keys: list[str]
    """The concurrency keys whose slots they free, in order."""

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Batch":
        """Sort records."""
        finished, dropped, requeued = list[Finish](), list[Finish](), list[Requeue]()
        for record in records:
            if isinstance(record, Requeue):
                requeued.append(record)
            else:
                (dropped if record.is_dropped else finished).append(record)
        keyed = {record.concurrency_key for record in records}
        keys = sorted(key for key in keyed if key is not None)
        return cls(finished, dropped, requeued, keys)

    @property
    def is_of_one_kind(self) -> bool:
        """Whether one statement writes it all."""
        return bool(self.finished) + bool(self.dropped) + bool(self.requeued) <= 1
