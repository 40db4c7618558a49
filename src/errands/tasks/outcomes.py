"""How an attempt ended. Attempts return one of these; engines record it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from errands.text import class_path, format_traceback


@dataclass(frozen=True, slots=True)
class AttemptError:
    """The exception of one attempt, as it is stored and as it was raised."""

    exception_class_path: str
    traceback: str
    exception: BaseException

    @classmethod
    def of(cls, exception: BaseException) -> "AttemptError":
        """Describe an exception; never raises, whatever it holds."""
        return cls(class_path(type(exception)), format_traceback(exception), exception)


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The function returned; ``return_value`` is plain JSON."""

    return_value: Any


@dataclass(frozen=True, slots=True)
class Retry:
    """It raised and has attempts left: due again ``after`` this long."""

    after: timedelta
    error: AttemptError


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised for the last time."""

    error: AttemptError


@dataclass(frozen=True, slots=True)
class Discarded:
    """It raised what the task declares as not worth a retry."""

    error: AttemptError


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It stopped because somebody cancelled it."""

    error: AttemptError


@dataclass(frozen=True, slots=True)
class Interrupted:
    """It stopped because the worker does: released, uncharged."""


@dataclass(frozen=True, slots=True)
class Snoozed:
    """It could not be tried here: released, uncharged, due again later."""

    after: timedelta


type Outcome = Succeeded | Retry | Failed | Discarded | Cancelled | Interrupted | Snoozed
