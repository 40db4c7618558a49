"""The context that travels from the caller to the worker.

Language and time zone always do; a site adds its own, such as a tenant, with
``register_context``. Engines store what ``capture`` returns and hand it to the
attempt.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils import timezone, translation

type Carried = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CarriedContext:
    """One thing that travels: how it is read here and restored there."""

    capture: Callable[[], str | None]
    activate: Callable[[str], AbstractContextManager[object]]


_registered: dict[str, CarriedContext] = {}


def register_context(
    name: str,
    *,
    capture: Callable[[], str | None],
    activate: Callable[[str], AbstractContextManager[object]],
) -> None:
    """Let a piece of context travel with every task enqueued from now on.

    ``capture`` returns it as text, or None for nothing, when a task is
    enqueued; ``activate`` returns a context manager that restores it around
    the attempt. A worker that does not know the name ignores it.
    """
    _registered[name] = CarriedContext(capture, activate)


def capture() -> dict[str, str]:
    """Return the caller's context."""
    read = {name: context.capture() for name, context in _registered.items()}
    return {name: text for name, text in read.items() if text is not None}


def activated(carried: Carried) -> AbstractContextManager[None]:
    """Return a context manager that runs a block in the context of the caller.

    What is as the caller had it already is left alone: activating costs more
    than a short task does.
    """
    differing = [
        (context, text)
        for name, text in carried.items()
        if (context := _registered.get(name)) is not None and context.capture() != text
    ]
    return _activated(differing) if differing else nullcontext()


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
    return zone.tzname(None) or str(zone)


def _known_time_zone(name: str) -> AbstractContextManager[object]:
    try:
        return timezone.override(ZoneInfo(name))
    except (ValueError, KeyError, OSError):
        # The caller's zone is missing from this machine's data.
        return timezone.override(None)


register_context(
    "language", capture=translation.get_language, activate=translation.override
)
register_context(
    "time_zone",
    capture=_time_zone,
    activate=_known_time_zone,
)
