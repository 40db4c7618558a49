"""The context that travels from the caller to the worker.

Language and time zone always do; a site adds its own, such as a tenant, with
``register_context``. Engines store what ``capture`` returns and hand it to the
attempt.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
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


@contextmanager
def activated(carried: Carried) -> Iterator[None]:
    """Run a block in the context of the caller."""
    with ExitStack() as stack:
        for name, text in carried.items():
            if name in _registered:
                stack.enter_context(_registered[name].activate(text))
        yield


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
    capture=timezone.get_current_timezone_name,
    activate=_known_time_zone,
)
