"""What passes between the queue and a worker."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from errands.exceptions import (
    ArgumentError,
    DecodeError,
    ReturnValueError,
    TaskCrashed,
    WorkerLost,
)
from errands.tasks.outcomes import AttemptError, Failed, Outcome, Succeeded
from errands.text import class_path

RETURN_VALUE_LIMIT = 1_048_576
COMPACT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
CRASH, LOSS = class_path(TaskCrashed), class_path(WorkerLost)

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

# A stored call begins so, and goes on so behind its first arguments.
ARGS, KWARGS = '{"args":', ',"kwargs":'

type Ending = tuple[Mapping[str, str], Mapping[str, Any]]
"""The caller's context, and what options the call has."""

MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Payload(NamedTuple):
    """The stored call: encoded arguments, the caller's context, its options.

    ``options`` are what this one call brings to its attempt: ``rate`` is
    ``[key, "100/m"]``, ``timeout`` seconds or None, ``keep`` seconds for
    ``succeeded`` and ``failed``; the last two only where ``using()`` set them.
    """

    args: list[Any]
    kwargs: dict[str, Any]
    carried: Mapping[str, str]
    options: Mapping[str, Any] = NO_OPTIONS

    @classmethod
    def parse(cls, text: str) -> "Payload":
        """Read a stored call; ``DecodeError`` when it is none."""
        try:
            args, kwargs, (carried, options) = _read(text)
            if not (isinstance(args, list) and isinstance(kwargs, dict)):
                raise TypeError(f"args is {args!r:.50}, kwargs is {kwargs!r:.50}")
            return cls(args, kwargs, carried, options)
        except MALFORMED as malformed:
            raise DecodeError(f"The stored call cannot be read: {malformed}") from None


def dump_call(args: Sequence[Any], kwargs: Mapping[str, Any], *, ending: str) -> str:
    """Return a call as it is stored, with an ending that many calls may share.

    Pure ASCII: NUL and lone surrogates stay escaped, so that every database
    takes them. NaN and infinity, which are not JSON, raise ``ArgumentError``.
    """
    try:
        positional = COMPACT.encode(args) if args else "[]"
        named = COMPACT.encode(kwargs) if kwargs else "{}"
    except ValueError as error:
        raise ArgumentError(
            f"The call cannot be stored as JSON: {error}. Pass None, or a text."
        ) from None
    return f"{ARGS}{positional}{KWARGS}{named},{ending}}}"


def dump_ending(carried: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Return the end of stored calls: their context, and their options if any."""
    ending = f'"context":{_context(tuple(carried.items()))}'
    return f'{ending},"options":{COMPACT.encode(options)}' if options else ending


def _read(text: str) -> tuple[Any, Any, Ending]:
    """Read a stored call; what many calls end with, once for all of them."""
    try:
        args, end = SCAN(text, len(ARGS))
        if text.startswith(ARGS) and text.startswith(KWARGS, end):
            kwargs, end = SCAN(text, end + len(KWARGS))
            return args, kwargs, _ending(text[end:])
    except (StopIteration, ValueError):
        pass
    stored = json.loads(text)
    return stored["args"], stored["kwargs"], _ending_of(stored)


@lru_cache(maxsize=1024)
def _ending(text: str) -> Ending:
    return _ending_of(json.loads("{" + text.removeprefix(",")))


def _ending_of(stored: Mapping[str, Any]) -> Ending:
    carried, options = (
        MappingProxyType(part) if isinstance(part, dict) else NO_OPTIONS
        for part in (stored.get("context"), stored.get("options"))
    )
    return carried, options


@lru_cache(maxsize=1024)
def _context(carried: tuple[tuple[str, str], ...]) -> str:
    return COMPACT.encode(dict(carried))


class Claim(NamedTuple):
    """One task, taken for one attempt under one token.

    A tuple, as records are: thousands of them are made per second.
    """

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
    metadata: dict[str, Any]
    concurrency_key: str | None = None
    at_most_once: bool = False
    cancel_requested: bool = False
    """Somebody cancelled the attempt before this one, which ended otherwise."""

    @property
    def is_suspect(self) -> bool:
        """Whether it had started in a process that died, the last time it ran.

        One of those that had started did it, and nobody can tell which. A
        worker that was lost with its host makes no suspects; but what is lost
        once more, right after that, may itself hold up its worker.
        """
        if not self.has_just_crashed:
            return False
        before, last = ["", *(each["exception_class_path"] for each in self.errors)][-2:]
        return last == CRASH or (before in {CRASH, LOSS} and self.crashes > 1)

    @property
    def has_just_crashed(self) -> bool:
        """Whether its last run ended with the process, or with the host."""
        if not self.crashes or not self.errors:
            return False
        return self.errors[-1]["exception_class_path"] in {CRASH, LOSS}


@dataclass(slots=True)
class Settlement:
    """How the attempt of a claim ended; nobody changes it.

    Not frozen: a frozen one takes thrice as long to make, for every task.

    ``metadata`` is its new JSON text, None where it did not change; ``keep``
    how long this outcome is kept, None as long as the site keeps the others.
    """

    claim: Claim
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    worker_name: str
    metadata: str | None = None
    keep: timedelta | None = None


def storable(outcome: Succeeded) -> Outcome:
    """Return an outcome; ``Failed`` where its return value cannot be stored."""
    try:
        size = len(json.dumps(outcome.return_value))
    except (TypeError, ValueError, RecursionError) as error:
        return Failed(AttemptError.of(error))
    if size <= RETURN_VALUE_LIMIT:
        return outcome
    too_large = ReturnValueError(
        f"The task returned {size:,} characters of JSON; at most "
        f"{RETURN_VALUE_LIMIT:,} are stored. Write a file and return its name."
    )
    return Failed(AttemptError.of(too_large))
