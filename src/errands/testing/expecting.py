"""What an assertion asks for, and how far something is from it."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.tasks import Task as DjangoTask
from django.tasks import task_backends
from django.tasks.backends.base import BaseTaskBackend

from errands.exceptions import SignatureMismatch
from errands.instants import from_site
from errands.jobs.job import Job
from errands.tasks.task import Task
from errands.testing.asking import SETTINGS, Target, asked_of, changed_options
from errands.testing.terms import terms_of
from errands.testing.waiting import (
    Waiting,
    bound_of,
    one_by_one,
    shown,
    shown_call,
    signature_of,
    wire_of,
)
from errands.text import did_you_mean

CLOSE = timedelta(seconds=1)
KNOWN = ("args", "kwargs", *SETTINGS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that should wait, or should not."""

    path: str
    backend: BaseTaskBackend
    arguments: Mapping[str, Any]
    settings: Mapping[str, Any]
    task: Target
    options: Mapping[str, Any]
    """Those of ours that ``using`` changed."""

    @classmethod
    def parse(cls, asked_by: str, task: Target, expected: Mapping[str, Any]) -> "Wanted":
        """Read what was passed to an assertion; ``TypeError`` for what fits nothing."""
        is_job = isinstance(task, type) and issubclass(task, Job)
        if not (is_job or isinstance(task, DjangoTask)):
            raise TypeError(
                f"{asked_by}() got {task!r}; it takes a task, as @task returns it, or "
                "a job class."
            )
        args, kwargs = expected.get("args", ()), expected.get("kwargs", {})
        _check_call(asked_by, args, kwargs)
        called = signature_of(task)
        path = task.path() if isinstance(task, type) else task.module_path
        try:
            bound = bound_of(called, args, kwargs)
        except TypeError as mismatch:
            raise SignatureMismatch(
                f"{asked_by}() got args and kwargs that no call of {path} can have: "
                f"{mismatch}."
            ) from None
        settings = asked_of(asked_by, task, expected)
        return cls(
            path,
            task_backends[task.backend],
            one_by_one(called, bound),
            settings,
            task,
            changed_options(task),
        )

    def __str__(self) -> str:
        wire = wire_of(self.task)
        written = {name: wire.encoded(value) for name, value in self.arguments.items()}
        asked = {**self.settings, **self.options}
        told = [f", {name}={_shown(value)}" for name, value in asked.items()]
        return f"{shown_call(self.path, written)}{''.join(told)}"

    def differences(self, waiting: Waiting) -> list[str]:
        """Return in words what is different; nothing where it is the one."""
        if waiting.path != self.path:
            return ["another task"]
        wire, has = wire_of(self.task), waiting.arguments
        found = [
            f"{name} is {shown(has[name]) if name in has else 'missing'}"
            for name, value in self.arguments.items()
            if name not in has or not wire.is_same(value, has[name])
        ]
        for name, value in self.settings.items():
            has = getattr(waiting, name)
            is_it = _is_due(value, waiting) if name == "run_after" else has == value
            if not is_it:
                found.append(f"{name} is {_shown(has)}")
        return found + self._other_options(waiting)

    def _other_options(self, waiting: Waiting) -> list[str]:
        if not self.options or not isinstance(self.task, Task):
            return []
        has, wanted = waiting.terms(), terms_of(self.task, waiting.call)
        return [
            f"{name} is {_shown(has[name])}"
            for name in self.options
            if has[name] != wanted[name]
        ]

    def nearest_first(self, waiting: Iterable[Waiting]) -> list[Waiting]:
        """Return the same task with the fewest differences first."""
        return sorted(waiting, key=self._distance)

    def _distance(self, waiting: Waiting) -> tuple[int, float]:
        if waiting.path == self.path:
            return 0, len(self.differences(waiting))
        likeness = difflib.SequenceMatcher(None, waiting.path, self.path).ratio()
        return 1, -likeness


def refuse_unknown(
    asked_by: str, expected: Mapping[str, Any], *, known: Iterable[str]
) -> None:
    """Raise ``TypeError`` for a keyword that an assertion does not take."""
    for name in expected:
        if name not in known:
            hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
            if not known:
                hint = " Without a task it takes none."
            raise TypeError(f"{asked_by}() got an unexpected keyword {name!r}.{hint}")


def _check_call(asked_by: str, args: object, kwargs: object) -> None:
    # A text is a sequence, and would be taken for one argument per character.
    if not isinstance(args, Iterable) or isinstance(args, str | bytes | Mapping):
        raise TypeError(f"{asked_by}() got args={args!r}; it takes a list or a tuple.")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"{asked_by}() got kwargs={kwargs!r}; it takes a dict.")


def _is_due(expected: datetime | timedelta | None, waiting: Waiting) -> bool:
    """Return whether a task is due then; a timedelta counts from the call."""
    if expected is None or waiting.run_after is None:
        return waiting.run_after is expected
    due_at = from_site(waiting.run_after)
    if not isinstance(expected, timedelta):
        # In UTC: in an hour that a zone has twice or never, Python takes no two
        # datetimes of different zones for equal.
        return due_at.astimezone(UTC) == from_site(expected).astimezone(UTC)
    if waiting.enqueued_at is None:
        return False
    return abs(due_at - from_site(waiting.enqueued_at) - expected) < CLOSE


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)
