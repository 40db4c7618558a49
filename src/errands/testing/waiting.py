"""The tasks that wait, as one kind of thing whatever backend keeps them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial, singledispatch
from inspect import Parameter, Signature
from typing import Any

from django.tasks import Task as DjangoTask
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.backends.dummy import DummyBackend
from django.utils.json import normalize_json

from errands.arguments import decode, encode
from errands.exceptions import ArgumentError, ErrandsError
from errands.jobs.job import Job
from errands.queue.backend import DatabaseBackend
from errands.queue.claims import Payload
from errands.queue.models import TaskRow
from errands.queue.states import TaskState
from errands.runs.models import Run
from errands.tasks.registry import registry
from errands.tasks.signature import call_signature
from errands.tasks.task import Call, Task
from errands.testing.asking import Target
from errands.testing.terms import Terms, terms_of, terms_of_row

SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One task that waits; ``arguments`` are encoded, by parameter."""

    id: str
    path: str
    arguments: Mapping[str, Any]
    queue_name: str
    priority: int
    run_after: datetime | None
    enqueued_at: datetime | None
    call: Call
    terms: Callable[[], Terms]
    """What our own options made of the call; nothing, of a task of Django's."""

    def __str__(self) -> str:
        told = f"queue_name={self.queue_name!r}, priority={self.priority}"
        if self.run_after is not None:
            told += f", run_after={self.run_after.isoformat()}"
        return f"{shown_call(self.path, self.arguments)}, {told}"


@singledispatch
def waiting_in(backend: BaseTaskBackend) -> list[Waiting]:
    """Return what waits, in the order it was enqueued."""
    raise ErrandsError(
        f"TASKS[{backend.alias!r}] is made of {type(backend).__name__}, which keeps no "
        "task that waits, so nothing can be said about it. Let the tests use "
        "errands.queue.DatabaseBackend, or Django's DummyBackend."
    )


@waiting_in.register
def _(backend: DatabaseBackend) -> list[Waiting]:
    rows = TaskRow.objects.using(backend.database_alias).order_by("pk")
    return [_row(row) for row in rows.exclude(state=TaskState.RUNNING)]


@waiting_in.register
def _(backend: DummyBackend) -> list[Waiting]:
    return [
        Waiting(
            id=result.id,
            path=result.task.module_path,
            arguments=_arguments(result.task.module_path, result.args, result.kwargs),
            queue_name=result.task.queue_name,
            priority=result.task.priority,
            run_after=result.task.run_after,
            enqueued_at=result.enqueued_at,
            call=(result.args, result.kwargs),
            terms=partial(terms_of, result.task, (result.args, result.kwargs)),
        )
        for result in backend.results
    ]


def signature_of(task: Target) -> Signature:
    """Return the signature of a call: of ``start``, where it is a job."""
    if isinstance(task, DjangoTask):
        return call_signature(task.func, skipped=int(task.takes_context))
    return call_signature(task.perform, skipped=1)


def bound_of(
    called: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Bind what is told of a call; ``TypeError`` for what no call can have.

    Python before 3.12.4 refuses a keyword that ``**`` would take where it has the
    name of a positional-only parameter; so those that are not told are left out.
    """
    parameters = [
        parameter
        for place, parameter in enumerate(called.parameters.values())
        if place < len(args) or parameter.kind is not Parameter.POSITIONAL_ONLY
    ]
    return called.replace(parameters=parameters).bind_partial(*args, **kwargs).arguments


def one_by_one(called: Signature, bound: Mapping[str, Any]) -> dict[str, Any]:
    """Return bound arguments by name, those that ``**`` takes among the others."""
    single = dict(bound)
    for name, parameter in called.parameters.items():
        if parameter.kind is Parameter.VAR_KEYWORD:
            for key, value in single.pop(name, {}).items():
                # Only one that is passed by position alone can have the same name.
                single[key if key not in called.parameters else f"{name}[{key!r}]"] = (
                    value
                )
    return single


class Wire:
    """How the values of a task of ours are stored."""

    def encoded(self, value: Any) -> Any:
        """Return a value as it is stored; itself where it cannot be, as a matcher."""
        try:
            return encode(value)
        except ArgumentError:
            return value

    def decoded(self, stored: Any) -> Any:
        """Return a stored value as the task gets it."""
        try:
            return decode(stored)
        except ErrandsError:
            return stored

    def is_same(self, expected: Any, stored: Any) -> bool:
        """Return whether a stored argument is what the test expects."""
        if isinstance(stored, tuple):  # of *args: what is stored itself are lists
            is_tuple = isinstance(expected, tuple) and len(expected) == len(stored)
            return is_tuple and all(map(self.is_same, expected, stored))
        wire = self.encoded(expected)
        is_matcher = wire is expected
        return bool(expected == self.decoded(stored) if is_matcher else wire == stored)


class PlainWire(Wire):
    """How Django stores the values of its own tasks: as JSON has them."""

    def encoded(self, value: Any) -> Any:
        """Return a value as it is stored; itself where it cannot be, as a matcher."""
        try:
            return json.loads(json.dumps(normalize_json(value)))
        except (TypeError, ValueError):
            return value

    def decoded(self, stored: Any) -> Any:
        """Return a stored value as the task gets it."""
        return stored


def wire_of(target: Target | None) -> Wire:
    """Return how the values of a task or a job are stored."""
    is_plain = isinstance(target, DjangoTask) and not isinstance(target, Task)
    return PlainWire() if is_plain else Wire()


def shown_call(path: str, arguments: Mapping[str, Any]) -> str:
    """Return a call as one would write it."""
    written = ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())
    return f"{path}({written})"


def shown(value: Any) -> str:
    """Return an encoded value in few words: a record by model and key."""
    match value:
        case {"$": "model", "v": [str(label), key, *_]}:
            text = f"<{label} {key}>"
        case {"$": str(tag), "v": inner}:
            text = f"{tag}({inner!r})"
        case _:
            text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _row(row: TaskRow) -> Waiting:
    call = Payload.parse(row.payload)
    return Waiting(
        id=str(row.uuid),
        path=row.path,
        arguments=_arguments(row.path, call.args, call.kwargs),
        queue_name=row.queue,
        priority=-row.rank,
        run_after=row.run_at,
        enqueued_at=row.enqueued_at,
        call=(call.args, call.kwargs),
        terms=partial(terms_of_row, row, call),
    )


def _arguments(
    path: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a stored call by parameter, with the defaults it left out."""
    target = Job.named(path) or registry.find(path)
    if target is None:
        return {**{str(n): value for n, value in enumerate(args)}, **kwargs}
    if not isinstance(target, DjangoTask):
        args, kwargs = _started_with(args)
    called, wire = signature_of(target), wire_of(target)
    try:
        bound = bound_of(called, args, kwargs)
    except TypeError:
        return {**{str(n): value for n, value in enumerate(args)}, **kwargs}
    with_defaults = {
        name: bound[name] if name in bound else wire.encoded(parameter.default)
        for name, parameter in called.parameters.items()
        if name in bound or parameter.default is not Parameter.empty
    }
    return one_by_one(called, with_defaults)


def _started_with(args: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return what a job was started with; its task carries the id of its run."""
    run = Run.objects.filter(pk=args[0]).first() if args else None
    started = json.loads(run.arguments) if run else {"args": [], "kwargs": {}}
    return started["args"], started["kwargs"]
