"""JSON → values: the way back of ``encoding``."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from errands.arguments.encoding import MAX_DEPTH
from errands.arguments.records import Reference, fetch
from errands.arguments.registry import converter_tagged
from errands.exceptions import DecodeError, RecordGone, UnknownTag

# How a converter says that what it was given cannot be read. Anything else,
# an error of the database above all, is not about the value and passes.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValidationError,
    ValueError,
)


def decode(wire: Any) -> Any:
    """Return the value that ``encode`` was given.

    Records are read with one query per model and database. Raises
    ``RecordGone`` for one that no longer exists, ``UnknownTag`` for a type
    this process cannot carry (yet) and ``DecodeError`` for what is malformed.
    """
    return Decoder.prepared_for(wire).decode(wire)


class Decoder:
    """Decodes values whose records have been fetched."""

    def __init__(self, records: Mapping[Reference, Model]) -> None:
        self._records = records

    @classmethod
    def prepared_for(cls, wire: Any) -> "Decoder":
        """Return a decoder that has the records ``wire`` refers to."""
        return cls(fetch(references_in(wire)))

    def decode(self, wire: Any, depth: int = 0) -> Any:
        """Return the value ``wire`` stands for."""
        if depth > MAX_DEPTH:
            raise DecodeError(f"A value is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(wire, list):
            return [self.decode(item, depth + 1) for item in wire]
        if not isinstance(wire, dict):
            return wire
        if "$" in wire:
            return self._tagged(wire, depth)
        return self._members(wire, depth)

    def _tagged(self, wire: dict[str, Any], depth: int) -> Any:
        match wire:
            case {"$": str(tag), "v": value} if len(wire) == 2:
                return self._untagged(tag, value, depth)
        raise DecodeError('A tagged value must be {"$": tag, "v": value}.')

    def _untagged(self, tag: str, value: Any, depth: int) -> Any:
        try:
            match tag:
                case "dict":
                    return self._members(value, depth)
                case "int":
                    return int(value, 16)
                case "model":
                    return self._record(Reference.read(value))
            return self._convert(tag, self.decode(value, depth + 1))
        except UNREADABLE as error:
            raise DecodeError(f"This is not a readable {tag!r}: {error}") from error

    def _members(self, wire: Any, depth: int) -> dict[str, Any]:
        if not isinstance(wire, dict):
            raise DecodeError("An escaped dict must hold a dict.")
        return {key: self.decode(item, depth + 1) for key, item in wire.items()}

    def _convert(self, tag: str, value: Any) -> Any:
        converter = converter_tagged(tag)
        if converter is None:
            raise UnknownTag(
                f"No converter here knows the tag {tag!r}. Does this process come by "
                "the errands.register_converter call for it?"
            )
        return converter.decode(value)

    def _record(self, reference: Reference) -> Model:
        record = self._records.get(reference)
        if record is None:
            raise RecordGone(
                f"{reference.label} {reference.pk} no longer exists in the database "
                f"{reference.database!r}."
            )
        return record


def references_in(wire: Any) -> Iterator[Reference]:
    """Find every record an encoded value refers to."""
    pending = [wire]
    while pending:
        match pending.pop():
            case list(items):
                pending.extend(items)
            case {"$": "model", "v": reference}:
                yield Reference.read(reference)
            case {"$": "dict", "v": dict(escaped)}:
                pending.extend(escaped.values())
            case dict(members):
                pending.extend(members.values())
