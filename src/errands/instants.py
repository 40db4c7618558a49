"""Instants: aware and in UTC inside, as the site writes them at its edges.

With ``USE_TZ = False`` a site's datetimes are naive and mean local time, of which
an hour comes twice each autumn and another never in spring. Whatever is added to
or compared with such a datetime is wrong on those days. So what the engine reads,
counts and stores is aware; what a site hands over becomes so by ``from_site``,
what it gets back is made by ``for_site``. Of the hour that comes twice, ``fold``
tells which one is meant, as Python has it. How tables keep them is the queue's
(``queue/fields.py``).
"""

from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils import timezone

DJANGOS_NOW = timezone.now
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def now() -> datetime:
    """Return what ``timezone.now()`` says, aware on every site."""
    if timezone.now is DJANGOS_NOW:
        # What it does, but for the settings, which it would ask for each task again.
        clock: type[datetime] = timezone.datetime  # type: ignore[attr-defined]
        return clock.now(UTC)
    told = timezone.now()
    return told if told.tzinfo else from_site(told)


def microseconds(value: datetime) -> int:
    """Return the microseconds from 1970 to an aware instant."""
    return (value - EPOCH) // MICROSECOND


def from_site(value: datetime) -> datetime:
    """Return the instant that a site means; a naive one is in its ``TIME_ZONE``."""
    if value.tzinfo is not None:
        return value
    # The zone of such a year may lie beyond what Python can express.
    if value.year in {MINYEAR, MAXYEAR}:
        return value.replace(tzinfo=UTC)
    return timezone.make_aware(value, timezone.get_default_timezone()).astimezone(UTC)


def for_site(value: datetime) -> datetime:
    """Return an instant as the site has its own: naive where ``USE_TZ`` is off."""
    if _has_aware_site():
        return value
    return timezone.make_naive(value, timezone.get_default_timezone())


@cache
def _has_aware_site() -> bool:
    # Asked for several times a task; Django's settings take longer to answer.
    return bool(settings.USE_TZ)


@receiver(setting_changed)
def _forget_setting(*, setting: str, **kwargs: Any) -> None:
    if setting == "USE_TZ":
        _has_aware_site.cache_clear()
