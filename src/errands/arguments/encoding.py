"""Values → JSON.

JSON's own types stay as they are; any other value becomes ``{"$": tag, "v":
…}``. A string is never given a meaning, and a dict that happens to have a
``"$"`` is wrapped (``{"$": "dict", "v": {…}}``), so that no input can pass for
a tag.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from django.db.models import Model
from django.utils.datastructures import MultiValueDict
from django.utils.functional import LazyObject

from errands.arguments.converter import Converter
from errands.arguments.records import Reference
from errands.arguments.refusals import refusal
from errands.arguments.registry import converter_for
from errands.exceptions import ArgumentError

type Wire = bool | int | float | str | list[Wire] | dict[str, Wire] | None

MAX_DEPTH = 100

# A longer int is written in hexadecimal: readers of JSON, Python's among them,
# have limits for decimal digits.
MAX_INT_BITS = 64

INSIDE_A_CONVERTER = object()

UNORDERED = frozenset({"set", "frozenset"})


def encode(value: Any) -> Wire:
    """Return ``value`` as plain JSON that ``decode`` turns back into its equal.

    At most 100 levels deep. Raises ``ArgumentError``, which says what to pass
    instead.
    """
    return None if value is None else Encoder("The value").encode(value)


class Encoder:
    """Encodes one value and knows where in it something is wrong."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._path: list[object] = []

    def encode(self, value: Any) -> Wire:
        """Return the value, or the part of it the path leads to, as JSON."""
        if value is None or type(value) in (str, bool):
            return value  # type: ignore[no-any-return]
        while isinstance(value, LazyObject):
            # request.user and its like: what counts is what pickle would take.
            value = value.__reduce__()[1][0]
        converter = converter_for(type(value))
        if converter is not None:
            return self._convert(converter, value)
        if isinstance(value, Model):
            return self._refer(value)
        return self._plain(value)

    def _plain(self, value: Any) -> Wire:
        match value:
            case bool() | None:
                return value
            case int():
                return _integer(int(value))
            case float():
                return self._number(float(value))
            case str():
                return str.__str__(value)
            case list():
                return [self._part(index, item) for index, item in enumerate(value)]
            case dict() if not isinstance(value, MultiValueDict):
                return self._members(value)
        raise self._refused(refusal(value))

    def _convert(self, converter: Converter[Any], value: Any) -> Wire:
        try:
            parts = converter.encode(value)
        except ValueError as error:
            raise self._refused(str(error)) from error
        wire = self._part(INSIDE_A_CONVERTER, parts)
        if converter.tag in UNORDERED and isinstance(wire, list):
            # A set's own order changes with each process, and so may what its
            # members print; equal calls must encode equally, or two of them could
            # not be recognised as the same.
            wire.sort(key=json.dumps)
        return {"$": converter.tag, "v": wire}

    def _refer(self, instance: Model) -> Wire:
        try:
            return {"$": "model", "v": [*Reference.to(instance)]}
        except ValueError as error:
            raise self._refused(str(error)) from error

    def _number(self, number: float) -> float:
        if not isfinite(number):
            raise self._refused(f"JSON has no {number}. Pass None.")
        return number

    def _members(self, members: Mapping[Any, Any]) -> Wire:
        wire = {self._key(key): self._part(key, item) for key, item in members.items()}
        return {"$": "dict", "v": wire} if "$" in wire else wire

    def _key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise self._refused(
                f"the key of a dict must be a string in JSON, and {key!r:.50} is "
                f"of type {type(key).__qualname__}. Pass str(key), or a list of pairs."
            )
        return str.__str__(key)

    def _part(self, step: object, value: Any) -> Wire:
        if len(self._path) == MAX_DEPTH:
            self._path.clear()
            raise self._refused(
                f"it is nested deeper than {MAX_DEPTH} levels, or contains itself. "
                "Store it and pass its primary key."
            )
        self._path.append(step)
        wire = self.encode(value)
        self._path.pop()
        return wire

    def _refused(self, reason: str) -> ArgumentError:
        steps = [step for step in self._path if step is not INSIDE_A_CONVERTER]
        place = "".join(f"[{step!r:.50}]" for step in steps)
        where = f"{self._subject}, at {place}," if place else self._subject
        return ArgumentError(f"{where} cannot be carried: {reason}")


def _integer(number: int) -> Wire:
    if number.bit_length() > MAX_INT_BITS:
        return {"$": "int", "v": hex(number)}
    return number
