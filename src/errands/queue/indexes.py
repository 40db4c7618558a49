"""Indexes over some rows, on databases that have no such indexes too."""

from typing import Any

from django.core import checks
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement

UNIQUE = "CREATE UNIQUE INDEX %(name)s ON %(table)s (%(columns)s)"
CONDITION_WARNING = "models.W037"


class PartialIndex(models.Index):
    """An index with a condition, and what stands in for it on MySQL.

    Where a database has no partial indexes, all rows are indexed and the
    fields of ``led_by`` stand first, so that a query for one state reads one
    stretch of it. ``unique`` refuses a second row of the same values; rows
    with a NULL among them never meet.
    """

    def __init__(
        self,
        *expressions: Any,
        led_by: tuple[str, ...] = (),
        unique: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*expressions, **kwargs)
        self.led_by = tuple(led_by)
        self.unique = unique

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        """Return the statement for this database."""
        is_partial = schema_editor.connection.features.supports_partial_indexes
        if self.unique:
            kwargs["sql"] = UNIQUE + ("%(condition)s" if is_partial else "")
        index = self if is_partial else self._over_all_rows()
        return models.Index.create_sql(index, model, schema_editor, using, **kwargs)

    def check(
        self, model: type[models.Model], connection: BaseDatabaseWrapper
    ) -> list[checks.CheckMessage]:
        """Check as Django does; a missing condition is provided for."""
        found = super().check(model, connection)
        return [message for message in found if message.id != CONDITION_WARNING]

    def deconstruct(self) -> Any:
        """Return what a migration writes."""
        path, expressions, kwargs = super().deconstruct()
        if self.led_by:
            kwargs["led_by"] = self.led_by
        if self.unique:
            kwargs["unique"] = self.unique
        return path, expressions, kwargs

    def _over_all_rows(self) -> models.Index:
        return models.Index(fields=[*self.led_by, *self.fields], name=self.name)
