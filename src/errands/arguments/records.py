"""Model instances, carried as a reference: ``["shop.order", "42", "default"]``.

A worker reads the record anew, so what was changed and not saved does not
travel. The model is looked up among the installed ones: a label on the wire
imports nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.db.models import Field, Model

from errands.exceptions import DecodeError


class Reference(NamedTuple):
    """Which record is meant: model label, primary key as text, database."""

    label: str
    pk: str
    database: str

    @classmethod
    def to(cls, instance: Model) -> "Reference":
        """Refer to a saved instance; ``ValueError`` if it is not."""
        if instance._state.adding or not _has_key(instance):
            raise ValueError(
                f"this {instance._meta.label} is not saved, so a worker could not "
                "find it. Save it first."
            )
        model = type(instance)
        return cls(
            label=model._meta.label_lower,
            pk=_primary_key(model).value_to_string(instance),
            database=instance._state.db or router.db_for_write(model, instance=instance),
        )

    @classmethod
    def read(cls, wire: Any) -> "Reference":
        """Return the reference that ``wire`` holds."""
        match wire:
            case [str(label), str(pk), str(database)]:
                return cls(label, pk, database)
        raise DecodeError("A 'model' must be a list of label, primary key, database.")


def fetch(references: Iterable[Reference]) -> dict[Reference, Model]:
    """Read the records with one query per model and database.

    Who is missing in the answer does not exist. Errors of the database pass
    through: it may be back in a moment, and the record with it.
    """
    wanted = defaultdict(set)
    for reference in references:
        wanted[reference.label, reference.database].add(reference)
    found: dict[Reference, Model] = {}
    for (label, database), group in wanted.items():
        found |= _fetch_from(_model(label), database, group)
    return found


def _fetch_from(
    model: type[Model], database: str, references: Iterable[Reference]
) -> dict[Reference, Model]:
    if database not in connections:
        raise DecodeError(f"There is no database {database!r} in DATABASES here.")
    keys = {reference: _key(model, reference.pk) for reference in references}
    rows = model._base_manager.using(database).in_bulk(list(keys.values()))
    return {reference: rows[key] for reference, key in keys.items() if key in rows}


def parse_record[M: Model](model: type[M], text: str) -> M:
    """Return the record whose primary key a person typed."""
    record = model._base_manager.filter(pk=_key(model, text)).first()
    if record is None:
        raise ValueError(f"There is no {model._meta.label} {text!r}.")
    return record


def _model(label: str) -> type[Model]:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        raise DecodeError(f"There is no model {label!r} installed here.") from error


def _key(model: type[Model], pk: str) -> Any:
    try:
        key = _primary_key(model).to_python(pk)
    except (ValidationError, ValueError) as error:
        raise DecodeError(
            f"{pk!r:.100} is not a primary key of {model._meta.label}."
        ) from error
    return tuple(key) if isinstance(key, list) else key


def _has_key(instance: Model) -> bool:
    pk = instance.pk
    return None not in pk if isinstance(pk, tuple) else pk is not None


def _primary_key(model: type[Model]) -> "Field[Any, Any]":
    return model._meta.pk
