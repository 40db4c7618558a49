"""What passes between the queue and a worker."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from errands.exceptions import ArgumentError, DecodeError, ResultError, TaskCrashed
from errands.tasks.outcomes import AttemptError, Failed, Outcome, Succeeded

EVERY_QUEUE = "*"
RETURN_VALUE_LIMIT = 1_048_576
CRASH = f"{TaskCrashed.__module__}.{TaskCrashed.__qualname__}"


class Payload(NamedTuple):
    """The stored call: encoded arguments and the caller's context."""

    args: list[Any]
    kwargs: dict[str, Any]
    carried: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Payload":
        """Read a stored call; ``DecodeError`` when it is none."""
        try:
            stored = json.loads(text)
            return cls(stored["args"], stored["kwargs"], stored.get("context") or {})
        except (ValueError, KeyError, TypeError, AttributeError) as malformed:
            raise DecodeError(f"The stored call cannot be read: {malformed}") from None

    def dump(self) -> str:
        """Return the call as it is stored.

        Pure ASCII: NUL and lone surrogates stay escaped, so that every
        database takes them. NaN and infinity, which are not JSON, raise
        ``ArgumentError``.
        """
        call = {"args": self.args, "kwargs": self.kwargs, "context": self.carried}
        try:
            return json.dumps(call, separators=(",", ":"), allow_nan=False)
        except ValueError as error:
            raise ArgumentError(
                f"The call cannot be stored as JSON: {error}. Pass None, or a text."
            ) from None


@dataclass(frozen=True, slots=True)
class Claim:
    """One task, taken for one attempt under one token."""

    id: int
    uuid: UUID
    token: int
    path: str
    payload: str
    queue: str
    priority: int
    attempt: int
    max_attempts: int
    crashes: int
    releases: int
    enqueued_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    claimed_at: datetime | None
    errors: list[dict[str, str]]
    worker_ids: list[str]

    @property
    def is_suspect(self) -> bool:
        """Whether it had started in a process that died, the last time it ran.

        One of those that had started did it, and nobody can tell which. A
        worker that was lost with its host makes no suspects.
        """
        if not self.crashes or not self.errors:
            return False
        return self.errors[-1]["exception_class_path"] == CRASH


@dataclass(frozen=True, slots=True)
class Settlement:
    """How the attempt of a claim ended.

    A return value that cannot be stored makes the outcome ``Failed``.
    """

    claim: Claim
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    worker_name: str

    def __post_init__(self) -> None:
        if isinstance(self.outcome, Succeeded) and self.outcome.return_value is not None:
            object.__setattr__(self, "outcome", _storable(self.outcome))


def _storable(outcome: Succeeded) -> Outcome:
    try:
        size = len(json.dumps(outcome.return_value))
    except (TypeError, ValueError, RecursionError) as error:
        return Failed(AttemptError.of(error))
    if size <= RETURN_VALUE_LIMIT:
        return outcome
    too_large = ResultError(
        f"The task returned {size:,} characters of JSON; at most "
        f"{RETURN_VALUE_LIMIT:,} are stored. Write a file and return its name."
    )
    return Failed(AttemptError.of(too_large))


@dataclass(frozen=True, slots=True)
class Selection:
    """What a worker takes: queues in strict order, and a range of priorities."""

    queues: tuple[str, ...] = (EVERY_QUEUE,)
    min_priority: int | None = None
    max_priority: int | None = None

    @classmethod
    def parse(
        cls,
        queues: str = EVERY_QUEUE,
        *,
        min_priority: int | None = None,
        max_priority: int | None = None,
    ) -> "Selection":
        """Read ``"mail,default,*"``; what stands first is emptied first."""
        names = tuple(name.strip() for name in queues.split(",") if name.strip())
        if not names:
            raise ValueError(f"{queues!r} names no queue. Use 'mail,default' or '*'.")
        bounds = (min_priority, max_priority)
        if None not in bounds and min_priority > max_priority:  # type: ignore[operator]
            raise ValueError(f"No priority is between {min_priority} and {max_priority}.")
        return cls(names, min_priority, max_priority)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The queues by name, None when every queue is taken."""
        return None if EVERY_QUEUE in self.queues else self.queues
