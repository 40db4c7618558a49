"""The options of a task beyond those of ``django.tasks``."""

import difflib
from dataclasses import dataclass, fields, replace
from typing import Any

from errands.exceptions import RecordGone
from errands.tasks.backoff import Backoff, exponential

MOST_ATTEMPTS = 10_000

CARRIED = ("max_attempts",)
"""Options that travel with one call; the others belong to the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """How often a task is tried, when again, and what ends it quietly."""

    max_attempts: int = 3
    """Attempts that may end in an exception; a crash or a deploy uses none."""

    backoff: Backoff = exponential()
    """``backoff(exception, task_result)`` returns seconds, or None to give up."""

    discard_on: tuple[type[BaseException], ...] = (RecordGone,)
    """Exceptions after which the task is discarded, not retried."""

    def __post_init__(self) -> None:
        if isinstance(self.discard_on, type):
            object.__setattr__(self, "discard_on", (self.discard_on,))
        attempts = self.max_attempts
        if type(attempts) is not int or not 1 <= attempts <= MOST_ATTEMPTS:
            raise ValueError(
                f"max_attempts is {attempts!r}; it is a whole number from 1 to "
                f"{MOST_ATTEMPTS:,}."
            )
        if not callable(self.backoff):
            raise TypeError(
                f"backoff is {self.backoff!r}; it takes a function such as "
                "exponential(first=5, cap=600)."
            )
        kinds: tuple[object, ...] = self.discard_on
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(f"discard_on holds {kind!r}, not an exception class.")

    @classmethod
    def parse(cls, options: dict[str, Any]) -> "TaskOptions":
        """Return the options of a decorator; an unknown one is a ``TypeError``."""
        _refuse_unknown(options)
        return cls(**options)

    def overridden(self, options: dict[str, Any]) -> "TaskOptions":
        """Return these options with those of one call.

        An option that does not travel with a call, such as ``backoff``, is a
        ``TypeError``: the worker would not see it.
        """
        _refuse_unknown(options)
        for name in options:
            if name not in CARRIED:
                raise TypeError(
                    f"using() cannot change {name}: it belongs to the code, not to "
                    f"one call. Set it in @task({name}=…)."
                )
        return replace(self, **options)


def _refuse_unknown(options: dict[str, Any]) -> None:
    known = [field.name for field in fields(TaskOptions)]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {known}."
            raise TypeError(f"Unknown task option {name!r}. {hint}")
