"""The context that travels from the caller to the worker.

Language and time zone always do; a site adds its own, such as a tenant, with
``register_context``. Engines store what ``capture`` returns and hand it to the
attempt.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import Context, ContextVar
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import lru_cache, partial
from inspect import iscoroutinefunction, isgeneratorfunction
from types import MappingProxyType
from zoneinfo import ZoneInfo

from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils import timezone, translation

BUILT_IN = ("language", "time_zone")
OFFSET = re.compile(r"[+-]\d\d:\d\d")

UNCHANGED = nullcontext()

type Carried = Mapping[str, str]

NOTHING: Carried = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CarriedContext:
    """One thing that travels: how it is read here and restored there."""

    capture: Callable[[], str | None]
    activate: Callable[[str], AbstractContextManager[object]]


_registered: dict[str, CarriedContext] = {}
_changes: dict[str, Callable[[], None]] = {}
"""What changes those of them that Django keeps in context variables."""


def register_context(
    name: str,
    *,
    capture: Callable[[], str | None],
    activate: Callable[[str], AbstractContextManager[object]],
) -> None:
    """Let a piece of context travel with every task enqueued from now on.

    ``capture`` returns it as text, or None for nothing, when a task is
    enqueued; ``activate`` returns a context manager that restores it around
    the attempt. A worker that does not know the name ignores it. What is no such
    function, or a name that others have taken, is refused; ``"language"`` and
    ``"time_zone"`` may be replaced.
    """
    context = CarriedContext(capture, activate)
    _check(name, context)
    _changes.pop(name, None)
    _as_begun.cache_clear()
    _registered[name] = context


def capture() -> dict[str, str]:
    """Return the caller's context."""
    captured = _untouched()
    if len(captured) == len(_registered):
        return captured
    asked = {name: each for name, each in _registered.items() if name not in captured}
    return captured | _captured(asked)


def activated(carried: Carried) -> AbstractContextManager[None]:
    """Return a context manager that runs a block in the context of the caller.

    What is as the caller had it already is left alone: activating costs more
    than a short task does.
    """
    if carried == _untouched():
        return UNCHANGED
    differing = [
        (context, text)
        for name, text in carried.items()
        if (context := _registered.get(name)) is not None and _differs(context, text)
    ]
    return _activated(differing) if differing else UNCHANGED


def _differs(context: CarriedContext, text: str) -> bool:
    """Return whether it is not as the caller had it; nor is what nobody has set here."""
    try:
        return context.capture() != text
    except Exception:  # noqa: BLE001 - as it is raised where a variable is not set
        return True


def _check(name: object, context: CarriedContext) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError(f"The name of a context is {name!r}; it takes a text.")
    for role in ("capture", "activate"):
        function = getattr(context, role)
        if not callable(function) or iscoroutinefunction(function):
            told = "async" if callable(function) else repr(function)
            raise TypeError(
                f"{role} of the context {name!r} is {told}; it takes a plain function."
            )
    if isgeneratorfunction(context.activate):
        raise TypeError(
            f"activate of the context {name!r} is a generator, not a context manager. "
            "Decorate it with contextlib.contextmanager."
        )
    if _registered.get(name, context) != context and name not in BUILT_IN:
        raise ValueError(f"There is a context {name!r} already. Choose another name.")


def _captured(contexts: Mapping[str, CarriedContext]) -> dict[str, str]:
    captured = {}
    for name, context in contexts.items():
        try:
            text = context.capture()
        except Exception as error:
            told = (
                f"Raised by capture of the context {name!r}; it returns None for nothing."
            )
            error.add_note(told)
            raise
        if text is None:
            continue
        if not isinstance(text, str):
            raise TypeError(
                f"The context {name!r} was captured as {text!r:.50}; its capture returns "
                "a text, or None."
            )
        captured[name] = text
    return captured


def _untouched() -> dict[str, str]:
    """Return what nobody has changed here, without asking for it.

    Asked for what is not set, Django takes several times as long.
    """
    return {
        name: text
        for name, (variable, text) in _as_begun().items()
        if variable.get(None) is None
    }


@lru_cache(maxsize=1)
def _as_begun() -> Mapping[str, tuple[ContextVar[object], str]]:
    """Return what a new thread has, each with the variable that is set by a change.

    What a change keeps elsewhere is left out, and so asked for.
    """
    begun = Context().run(_captured, {name: _registered[name] for name in _changes})
    found: dict[str, tuple[ContextVar[object], str]] = {}
    for name, text in begun.items():
        context = Context()
        context.run(_changes[name])
        if len(context) == 1:
            found[name] = (*context, text)
    return found


@receiver(setting_changed)
def _forget(**changed: object) -> None:
    del changed
    _as_begun.cache_clear()


@contextmanager
def _activated(differing: list[tuple[CarriedContext, str]]) -> Iterator[None]:
    with ExitStack() as stack:
        for context, text in differing:
            stack.enter_context(context.activate(text))
        yield


def _time_zone() -> str:
    return _name_of(timezone.get_current_timezone())


@lru_cache
def _name_of(zone: tzinfo) -> str:
    """Return a name that ZoneInfo knows, or an offset such as ``+05:30``."""
    offset = zone.utcoffset(None)
    if offset is None or zone is UTC:
        return zone.tzname(None) or str(zone)
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def _known_time_zone(name: str) -> AbstractContextManager[object]:
    try:
        return timezone.override(_fixed(name) or ZoneInfo(name))
    except (ValueError, KeyError, OSError):
        # The caller's zone is missing from this machine's data.
        return timezone.override(None)


def _fixed(name: str) -> tzinfo | None:
    """Return the zone of an offset; None where the name is none."""
    if not OFFSET.fullmatch(name):
        return None
    minutes = int(name[1:3]) * 60 + int(name[4:])
    return timezone.get_fixed_timezone(-minutes if name[0] == "-" else minutes)


_registered.update(
    language=CarriedContext(translation.get_language, translation.override),
    time_zone=CarriedContext(_time_zone, _known_time_zone),
)
_changes.update(
    language=translation.deactivate_all,
    time_zone=partial(timezone.activate, UTC),
)
