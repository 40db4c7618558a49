"""Text a person typed → a value, by the annotation of the parameter.

The same converters as on the wire, in the command line's direction. Every
annotation has a ``Form``: what to type, in words, and how it is read.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter
from math import isfinite
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    TypeAliasType,
    Union,
    get_args,
    get_origin,
)

from django.core.exceptions import ValidationError
from django.db.models import Model

from errands.arguments.enums import describe_enum, parse_member
from errands.arguments.records import parse_record
from errands.arguments.registry import converter_for
from errands.exceptions import ArgumentError, DecodeError
from errands.text import clean_line

YES = frozenset({"true", "yes", "on", "1"})
NO = frozenset({"false", "no", "off", "0"})


# What reading a text may raise: the text is wrong, not the program.
UNREADABLE = (ValueError, ValidationError, DecodeError)


@dataclass(frozen=True, slots=True)
class Form:
    """What a person types for a value, in words, and how it is read."""

    words: str
    read: Callable[[str], Any]


def parse(annotation: Any, text: str) -> Any:
    """Return the value ``text`` stands for where ``annotation`` is expected.

    A record is named by its primary key, an enum member by name or value,
    several values by commas (quoted as in CSV where one contains a comma). A
    datetime without an offset is in the current time zone. Raises
    ``ArgumentError`` with a message for the person who typed it.
    """
    typed: object = text
    if not isinstance(typed, str):
        raise TypeError(
            f"parse() got {typed!r:.50}; it takes a text, as somebody typed it."
        )
    form = form_of(annotation)
    try:
        return form.read(text)
    except UNREADABLE as error:
        raise ArgumentError(f"Expected {form.words}, got {_shown(text)}.") from error


def describe(annotation: Any) -> str:
    """Say what to type for a value of ``annotation``: "a whole number"."""
    return form_of(annotation).words


def form_of(annotation: Any) -> Form:
    """Return the form of an annotation; ``ArgumentError`` if it has none."""
    if isinstance(annotation, TypeAliasType):
        return form_of(annotation.__value__)
    if isinstance(annotation, NewType):
        return form_of(annotation.__supertype__)
    origin = get_origin(annotation) or annotation
    if origin in GENERIC_FORMS:
        return GENERIC_FORMS[origin](*get_args(annotation))
    if origin in PLAIN_FORMS:
        return PLAIN_FORMS[origin]
    form = _form_of_class(origin) if isinstance(origin, type) else None
    if form is None:
        name = getattr(annotation, "__qualname__", annotation)
        raise ArgumentError(
            f"A value of type {name} cannot be typed on a command line. Give its "
            "converter a parse= function, or annotate the parameter otherwise."
        )
    return form


def _form_of_class(kind: type) -> Form | None:
    converter = converter_for(kind)
    if converter is not None and converter.parse is not None:
        words = converter.describe or f"a {kind.__name__}"
        return Form(words, converter.parse)
    if issubclass(kind, Enum):
        return Form(describe_enum(kind), lambda text: parse_member(kind, text))
    if issubclass(kind, Model):
        words = f"the primary key of an existing {kind._meta.label}"
        return Form(words, lambda text: parse_record(kind, text))
    return None


def _annotated(annotation: Any, *_: Any) -> Form:
    return form_of(annotation)


def _one_of_types(*annotations: Any) -> Form:
    # Any text is a str, so the other types have to be tried first.
    forms = [form_of(a) for a in sorted(annotations, key=lambda a: a is str)]

    def read(text: str) -> Any:
        for form in forms:
            try:
                return form.read(text)
            except UNREADABLE:
                continue
        raise ValueError(f"{text!r} is none of them.")

    return Form(" or ".join(form.words for form in forms), read)


def _one_of_values(*choices: Any) -> Form:
    spelled = {c.name if isinstance(c, Enum) else str(c): c for c in choices}

    def read(text: str) -> Any:
        if text not in spelled:
            raise ValueError(f"{text!r} is none of them.")
        return spelled[text]

    return Form("one of " + ", ".join(spelled), read)


def _several(container: Callable[[Any], Any]) -> Callable[..., Form]:
    def form(annotation: Any = str, *_: Any) -> Form:
        each = form_of(annotation)

        def read(text: str) -> Any:
            return container(each.read(part) for part in _split(text))

        return Form(f"{each.words}, or several, separated by commas", read)

    return form


def _fixed_tuple(*annotations: Any) -> Form:
    if not annotations or annotations[-1] is ...:
        return _several(tuple)(*annotations)
    forms = [form_of(annotation) for annotation in annotations]

    def read(text: str) -> Any:
        pairs = zip(forms, _split(text), strict=True)
        return tuple(form.read(part) for form, part in pairs)

    return Form(", then ".join(form.words for form in forms) + ", with commas", read)


def _split(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ValueError(f"{text!r} has a stray quote or line break.") from error


def _read_bool(text: str) -> bool:
    word = text.strip().casefold()
    if word not in YES | NO:
        raise ValueError(f"{text!r} is neither yes nor no.")
    return word in YES


def _read_float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text!r} is not finite.")
    return number


def _read_nothing(text: str) -> None:
    if text:
        raise ValueError(f"{text!r} is not nothing.")


def _shown(text: str) -> str:
    return repr(clean_line(text, 80))


TEXT = Form("a text", str)

PLAIN_FORMS: dict[Any, Form] = {
    Any: TEXT,
    Parameter.empty: TEXT,
    object: TEXT,
    str: TEXT,
    int: Form("a whole number", int),
    float: Form("a number", _read_float),
    bool: Form("yes or no", _read_bool),
    NoneType: Form("nothing", _read_nothing),
    None: Form("nothing", _read_nothing),
}

GENERIC_FORMS: dict[Any, Callable[..., Form]] = {
    Annotated: _annotated,
    Union: _one_of_types,
    UnionType: _one_of_types,
    Literal: _one_of_values,
    list: _several(list),
    set: _several(set),
    frozenset: _several(frozenset),
    tuple: _fixed_tuple,
}
