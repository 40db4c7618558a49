"""``Task``: a function that can run later, with our options.

A value is encoded in ``enqueue`` and decoded in ``call``, on both sides of
whatever engine is configured, so every engine carries plain JSON.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from inspect import Signature
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.tasks import Task as DjangoTask
from django.tasks import TaskResult
from django.tasks.backends.base import BaseTaskBackend
from django.utils.module_loading import import_string

from errands import instants
from errands.arguments import decode_call, encode, encode_call
from errands.exceptions import ArgumentError, ReturnValueError
from errands.tasks.capabilities import backend_of
from errands.tasks.carried import Carried, activated, capture
from errands.tasks.context import own_context
from errands.tasks.options import TaskOptions
from errands.tasks.registry import registry
from errands.tasks.signature import (
    call_shape,
    call_signature,
    check_call,
    check_calls,
    check_pair,
    is_coroutine,
)
from errands.tasks.templates import check_options

# One year inside what Python knows, so that no zone makes it unreadable.
EARLIEST, LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)

# Django compares them, and says nothing of what cannot be compared.
TAKEN = (
    ("queue_name", str, "a text such as 'mail'"),
    ("backend", str, "an alias of TASKS such as 'default'"),
    ("priority", (int, float), "a whole number from -100 to 100"),
    ("takes_context", bool, "True or False"),
)

type Call = tuple[Sequence[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(DjangoTask):
    """A module-level function that can run later, on any backend.

    The call is bound to the function's signature and its values are encoded
    when it is enqueued: a wrong argument raises in the request, not in a
    worker. Delivery is at least once.
    """

    options: TaskOptions = field(default_factory=TaskOptions)
    due_in: timedelta | None = None
    is_cooperative: bool = False
    """Whether it is a job's: it asks at its checkpoints whether to stop, and is not
    interrupted."""

    def __post_init__(self) -> None:
        for name, kinds, told in TAKEN:
            given = getattr(self, name)
            # Python takes True for a number.
            is_stranger = isinstance(given, bool) != (kinds is bool)
            # NaN is the one number that does not equal itself.
            if not isinstance(given, kinds) or is_stranger or given != given:
                raise TypeError(f"{name} is {given!r}; it takes {told}.")
        # super() does not know the class that slots=True has made of this one.
        DjangoTask.__post_init__(self)
        check_options(self.options, self.func, skipped=int(self.takes_context))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it by its name, as Django's tasks, and what one call may change.

        What belongs to the code, such as a back-off, is what the code says there.
        """
        reduced: tuple[Any, ...] = DjangoTask.__reduce__(self)  # type: ignore[assignment]
        rebuild, (told,) = reduced
        return rebuild, ({**told, "options": self.options.changeable},)

    @classmethod
    def _reconstruct(cls, told: dict[str, Any]) -> "Task":
        options = told.pop("options")
        made: Task = DjangoTask._reconstruct.__func__(cls, told)  # type: ignore[attr-defined]
        defined: Task = import_string(made.module_path)
        return replace(made, options=defined.options.overridden(options))

    def using(
        self,
        *,
        priority: int | None = None,
        queue_name: str | None = None,
        run_after: datetime | timedelta | None = None,
        backend: str | None = None,
        **options: Any,
    ) -> "Task":
        """Return this task with other settings for one call.

        ``run_after`` takes an aware datetime, or a timedelta that counts from
        the moment of ``enqueue``; beyond the years 2 to 9998 it is cut there.
        With ``USE_TZ = False`` a naive datetime is local time.
        """
        changes: dict[str, Any] = {
            "priority": priority,
            "queue_name": queue_name,
            "backend": backend,
        }
        changes = {name: new for name, new in changes.items() if new is not None}
        if isinstance(run_after, timedelta):
            changes |= {"due_in": run_after, "run_after": None}
        elif isinstance(run_after, datetime):
            changes |= {"due_in": None, "run_after": run_after}
        elif run_after is not None:
            raise TypeError(
                f"run_after is {run_after!r:.50}; it takes an aware datetime, or a "
                "timedelta that counts from the call."
            )
        if options:
            changes["options"] = self.options.overridden(options)
        return replace(self, **changes)

    def get_backend(self) -> BaseTaskBackend:
        """Return the backend of its alias; Django's own imports something each time."""
        return backend_of(self.backend)

    def enqueue(self, *args: Any, **kwargs: Any) -> TaskResult:
        """Store one call, in the caller's transaction where the engine can."""
        wire_args, wire_kwargs = self.encode_call(args, kwargs)
        return self.get_backend().enqueue(self.due(), wire_args, wire_kwargs)

    async def aenqueue(self, *args: Any, **kwargs: Any) -> TaskResult:
        """Store one call from async code."""
        # A lazy argument may look at the database to be encoded.
        wire_args, wire_kwargs = await sync_to_async(self.encode_call)(args, kwargs)
        return await self.get_backend().aenqueue(self.due(), wire_args, wire_kwargs)

    def enqueue_many(self, calls: Iterable[Call]) -> Sequence[TaskResult]:
        """Store many calls, each a pair of ``(args, kwargs)``; results in that order.

        All are checked and encoded before the first is stored; where the
        engine can, they are stored in one statement.
        """
        encoded = self._encode_calls(calls)
        task, backend = self.due(), self.get_backend()
        if getattr(backend, "supports_enqueue_many", False):
            results: Sequence[TaskResult] = backend.enqueue_many(task, encoded)  # type: ignore[attr-defined]
            return results
        return [backend.enqueue(task, args, kwargs) for args, kwargs in encoded]

    async def aenqueue_many(self, calls: Iterable[Call]) -> Sequence[TaskResult]:
        """Store many calls from async code, as ``enqueue_many`` does."""
        return await sync_to_async(self.enqueue_many)(calls)

    def enqueue_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """Store one call after the current transaction, at once without one.

        The call is checked and encoded now, and the context that travels is that
        of now; a later change of its arguments does not travel.
        """
        call, carried = self.encode_call(args, kwargs), capture()
        transaction.on_commit(partial(self._enqueue_encoded, *call, carried=carried))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here with encoded arguments; return it encoded."""
        positional, named = self._decoded(args, kwargs)
        function = async_to_sync(self.func) if is_coroutine(self.func) else self.func
        return self._returned(function(*positional, **named))

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """Await the function here with encoded arguments; return it encoded."""
        positional, named = await sync_to_async(self._decoded)(args, kwargs)
        return self._returned(await DjangoTask.acall(self, *positional, **named))

    def _returned(self, value: Any) -> Any:
        try:
            return encode(value)
        except ArgumentError as error:
            told = f"What {self.module_path} returned cannot be stored. {error}"
            raise ReturnValueError(told) from None

    def encode_call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Check a call against the signature and return it as plain JSON."""
        shape = call_shape(self.func, skipped=int(self.takes_context))
        if kwargs or not shape.fewest <= len(args) <= shape.most:
            check_call(self.call_signature, args, kwargs, name=self.func.__name__)
        if not args and not kwargs:
            return [], {}
        return encode_call(args, kwargs, names=shape.names)

    @property
    def call_signature(self) -> Signature:
        """The signature a caller sees: without the context."""
        return call_signature(self.func, skipped=int(self.takes_context))

    def due(self) -> "Task":
        """Return the task with a ``due_in`` resolved into ``run_after``."""
        if self.due_in is None:
            return self
        return replace(self, due_in=None, run_after=_after(self.due_in))

    def _encode_calls(
        self, calls: Iterable[Call]
    ) -> list[tuple[list[Any], dict[str, Any]]]:
        check_calls(calls)
        encoded: list[tuple[list[Any], dict[str, Any]]] = []
        for call in calls:
            try:
                args, kwargs = call
                if args.__class__ is not tuple:
                    # A text would be taken for as many arguments as it has letters.
                    check_pair(call, index=len(encoded))
                encoded.append(self.encode_call(args, kwargs))
            except (TypeError, ValueError, AttributeError) as refused:
                check_pair(call, index=len(encoded))
                refused.add_note(f"It is call {len(encoded)} of enqueue_many().")
                raise
        return encoded

    def _enqueue_encoded(
        self, args: list[Any], kwargs: dict[str, Any], *, carried: Carried
    ) -> None:
        with activated(carried):
            self.get_backend().enqueue(self.due(), args, kwargs)

    def _decoded(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        if not self.takes_context:
            return decode_call(args, kwargs)
        decoded, named = decode_call(args[1:], kwargs)
        return [own_context(args[0], self.options.metadata), *decoded], named


def storable(run_after: datetime | None) -> datetime | None:
    """Return the instant as every database can hold and every zone can show it."""
    if run_after is None:
        return None
    return min(max(instants.from_site(run_after), EARLIEST), LATEST).astimezone(UTC)


def _after(delay: timedelta) -> datetime:
    try:
        due_at = instants.now() + delay
    except OverflowError:
        due_at = EARLIEST if delay < timedelta() else LATEST
    return instants.for_site(min(max(due_at, EARLIEST), LATEST))


def plain_task(func: Callable[..., Any], **fields_and_options: Any) -> DjangoTask:
    """Build what ``django.tasks.task`` asked for on one of our backends.

    With an option of ours it becomes a ``Task`` of ours; without, it stays
    Django's and keeps Django's rule for arguments. Workers find it by its
    function, whatever name its module has for it.
    """
    ours = {
        name: fields_and_options.pop(name)
        for name in list(fields_and_options)
        if name not in {"priority", "backend", "queue_name", "takes_context"}
    }
    made: DjangoTask
    if ours:
        made = Task(func=func, options=TaskOptions.parse(ours), **fields_and_options)
    else:
        made = DjangoTask(func=func, **fields_and_options)
    registry.register(made.module_path, lambda: made)
    return made
