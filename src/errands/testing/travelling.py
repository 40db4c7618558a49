"""Time travel: another instant for ``timezone.now()``, and so for the queue.

Django asks the class ``datetime`` in its module of time zones what time it is.
Another class stands there while a test travels, so every ``timezone.now`` says
so, however it was imported. What asks a clock of its own does not travel:
``datetime.now()``, ``time.time()``, the database, and the leases of workers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from unittest import mock

from django.conf import settings
from django.utils import timezone

from errands import instants


@contextmanager
def travel_to(when: datetime | timedelta) -> Iterator[datetime]:
    """Let it be another instant inside the block; time stands still there.

    ``when`` is an instant, or how far to go from now. Scheduled tasks that are
    due by then are run by ``drain``. Blocks can be nested: the inner one counts
    from the outer. Affects every thread of this process.
    """
    instant = _instant(when)
    with mock.patch.object(timezone, "datetime", _standing_at(instant)):
        yield timezone.now()


def _instant(when: datetime | timedelta) -> datetime:
    if isinstance(when, timedelta):
        when = instants.now() + when
    if not isinstance(when, datetime):
        raise TypeError(
            f"travel_to() got {when!r}; it takes a datetime, or a timedelta from now."
        )
    if settings.USE_TZ and timezone.is_naive(when):
        raise ValueError(
            f"travel_to() got {when!r}, which has no time zone. "
            "Use timezone.make_aware() or a tzinfo."
        )
    return when.astimezone()


class _Standing(type):
    """Takes every datetime for an instance, as the class it stands for does."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


def _standing_at(instant: datetime, *, real: type[datetime] = datetime) -> type[datetime]:
    # The default is the class of the import: freezegun swaps that of the module.
    class Standing(real, metaclass=_Standing):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            # Of an hour that comes twice, this tells which one it is.
            return real.fromtimestamp(instant.timestamp(), tz)

    return Standing
