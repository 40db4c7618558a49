"""The rows of the queue's tables, as statements read and write them."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from errands.queue.claims import Claim
from errands.queue.records import Finish, Requeue
from errands.queue.states import ResultStatus, TaskState

type Row = tuple[Any, ...]
type Parameter = int | str | datetime | UUID | None

SHARED_COLUMNS = (
    "uuid, queue, precedence, path, payload, enqueued_at, run_at, claimed_at, "
    "max_attempts, unique_key, concurrency_key, concurrency_limit, at_most_once"
)
CLAIM_COLUMNS = (
    "id, uuid, token, path, payload, queue, precedence, attempt, max_attempts, crashes, "
    "releases, enqueued_at, run_at, started_at, claimed_at, errors, worker_ids, "
    "metadata, concurrency_key, at_most_once, cancel_requested_at"
)
INSERT_COLUMNS = (
    "queue, precedence, path, max_attempts, concurrency_limit, at_most_once, "
    "enqueued_at, run_at, state, metadata"
)
CALL_COLUMNS = "uuid, payload, unique_key, concurrency_key"
ZEROED_COLUMNS = "attempt, crashes, releases, token, errors, worker_ids"
ZEROES = "0, 0, 0, 0, '[]', '[]'"

# Where they stand in a row of ``CLAIM_COLUMNS``.
ID, TOKEN, RANK, ATTEMPT, CLAIMED_AT, KEY = map(
    CLAIM_COLUMNS.split(", ").index,
    ("id", "token", "precedence", "attempt", "claimed_at", "concurrency_key"),
)

# For rows that are found by their id. PostgreSQL does not take the partial index of
# a state for these, in which it would walk over all that were ever in that state
# while an old snapshot keeps their entries.
IS_READY = f"state + 0 = {TaskState.READY:d}"
IS_RUNNING = f"state + 0 = {TaskState.RUNNING:d}"

WITHOUT_ZONE = len("2999-12-31 23:59:59.999999")


class CallRow(NamedTuple):
    """What differs between the calls of one task: ``CALL_COLUMNS``.

    ``uuid`` is written as 32 digits, which every database takes.
    """

    uuid: str
    payload: str
    unique_key: str | None = None
    concurrency_key: str | None = None


class Candidate(NamedTuple):
    """A ready row that shares a limit, and may have a slot."""

    id: int
    key: str
    limit: int


class Claimed(NamedTuple):
    """What one claim took, and the ids and keys it has to leave to ``start``."""

    claims: list[Claim]
    keyed: list[tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """What the two tables hold of one task.

    ``state`` is set for a live row, ``status`` for a finished one.
    """

    uuid: UUID
    path: str
    payload: str
    queue: str
    rank: int
    run_at: datetime | None
    enqueued_at: datetime
    started_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    errors: list[dict[str, str]]
    worker_ids: list[str]
    state: int | None
    status: int | None
    return_value: str | None
    expires_at: datetime | None = None
    concurrency_key: str | None = None
    token: int = 0


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """How a task ends that waits, as it was read: under the token of then."""

    token: int
    status: ResultStatus
    errors: str
    finished_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """One claim: the queue (None: any), the range of ranks, and how many.

    With ``after_id`` only what lies behind that task of the lowest rank.
    """

    worker: str
    limit: int
    queue: str | None
    min_rank: int
    max_rank: int
    after_id: int = 0

    @property
    def of_queue(self) -> str:
        """The condition for rows of the queue; empty for those of any."""
        return "" if self.queue is None else "AND queue = %s"

    @property
    def queues(self) -> list[Parameter]:
        """Its values."""
        return [] if self.queue is None else [self.queue]

    @property
    def chosen(self) -> list[Parameter]:
        """Its values, and the first and the last rank."""
        return [*self.queues, self.min_rank, self.max_rank]


def stored_errors(text: str) -> list[dict[str, str]]:
    """Read a task's errors; what somebody has spoiled by hand is left out."""
    return [error for error in _list(text) if _is_error(error)]


def stored_names(text: str) -> list[str]:
    """Read the names of a task's workers, likewise."""
    return [name for name in _list(text) if isinstance(name, str)]


def stored_metadata(text: str) -> dict[str, Any]:
    """Read a task's metadata; what is no JSON object reads as empty."""
    stored = {} if text == "{}" else _json(text)
    return stored if isinstance(stored, dict) else {}


def _list(text: str) -> list[Any]:
    stored = [] if text == "[]" else _json(text)
    return stored if isinstance(stored, list) else []


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_error(stored: Any) -> bool:
    if not isinstance(stored, dict):
        return False
    texts = stored.get("exception_class_path"), stored.get("traceback")
    return all(isinstance(text, str) for text in texts)


def dumped(records: Sequence[Finish] | Sequence[Requeue]) -> str:
    """Return records as one JSON parameter: a list of lists of their columns."""
    return ENCODER.encode([record.columns for record in records])


def places(values: Collection[object]) -> str:
    """Return a place for each value."""
    return ", ".join(["%s"] * len(values))


def of_table(alias: str, columns: str) -> str:
    """Return columns, each of the table that a statement calls so."""
    return ", ".join(f"{alias}.{column}" for column in columns.split(", "))


def as_uuid(stored: UUID | str) -> UUID:
    return stored if isinstance(stored, UUID) else UUID(stored)


def utc_text(value: datetime) -> str:
    """Return an instant as databases without time zones keep it."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds")[:WITHOUT_ZONE]


# What it writes holds no cycles, so it need not look for them.
ENCODER = json.JSONEncoder(default=utc_text, check_circular=False)


def stored_instant(stored: datetime | str | None) -> datetime | None:
    """Read an instant so kept.

    Drivers return text, or a naive datetime where they know the column.
    """
    if stored is None:
        return None
    if isinstance(stored, str):
        stored = datetime.fromisoformat(stored)
    return stored.replace(tzinfo=UTC)
