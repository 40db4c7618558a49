"""Instants: aware and in UTC inside, as the site writes them at its edges.

With ``USE_TZ = False`` a site's datetimes are naive and mean local time, of which
an hour comes twice each autumn and another never in spring. Whatever is added to
or compared with such a datetime is wrong on those days. So what the engine reads,
counts and stores is aware; what a site hands over becomes so by ``from_site``,
what it gets back is made by ``for_site``. Of the hour that comes twice, ``fold``
tells which one is meant, as Python has it.

The tables hold UTC, whatever the settings say: ``timestamptz`` does by itself, and
what has no zone is written so.
"""

from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import cache
from typing import Any, override

from django.conf import settings
from django.core.signals import setting_changed
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.dispatch import receiver
from django.utils import timezone


def now() -> datetime:
    """Return what ``timezone.now()`` says, aware on every site."""
    told = timezone.now()
    return told if told.tzinfo else from_site(told)


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


class InstantField(models.DateTimeField):
    """A ``DateTimeField`` whose column the engine writes as well, in UTC.

    Django would keep local time there where ``USE_TZ`` is off, or the database has
    a ``TIME_ZONE`` of its own. It takes aware instants on every site.
    """

    def deconstruct(self) -> Any:
        """Return a ``DateTimeField``: migrations are about columns, and that is one."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    @override
    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Return what the column holds."""
        stored = value if prepared else self.get_prep_value(value)
        if isinstance(stored, datetime):
            stored = from_site(stored)
            if not _has_zones(connection):
                stored = stored.astimezone(UTC).replace(tzinfo=None)
        return super().get_db_prep_value(stored, connection, prepared=True)

    def from_db_value(
        self, value: datetime | None, _: object, connection: BaseDatabaseWrapper
    ) -> datetime | None:
        """Return an instant of the column as the site's are."""
        if value is None or _has_zones(connection):
            return value
        return for_site(value.replace(tzinfo=UTC))


@cache
def _has_aware_site() -> bool:
    # Asked for several times a task; Django's settings take longer to answer.
    return bool(settings.USE_TZ)


@receiver(setting_changed)
def _forget_setting(*, setting: str, **kwargs: Any) -> None:
    if setting == "USE_TZ":
        _has_aware_site.cache_clear()


def _has_zones(connection: BaseDatabaseWrapper) -> bool:
    return connection.vendor == "postgresql"
