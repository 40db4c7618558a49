"""Columns that both the engine's SQL and Django's models read and write."""

from datetime import datetime
from typing import Any, override

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from errands.instants import for_site, from_site
from errands.queue.statements import statements_for


class InstantField(models.DateTimeField):
    """A ``DateTimeField`` that the SQL of each database writes as well, in UTC.

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
        instant = value if prepared else self.get_prep_value(value)
        if isinstance(instant, datetime):
            return statements_for(connection).value(from_site(instant))
        return super().get_db_prep_value(instant, connection, prepared=True)

    def from_db_value(
        self, value: datetime | None, _: object, connection: BaseDatabaseWrapper
    ) -> datetime | None:
        """Return an instant of the column as the site's are."""
        instant = statements_for(connection).instant(value)
        return None if instant is None else for_site(instant)
