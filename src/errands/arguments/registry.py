"""Which converter carries which type, and which tag is whose."""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from errands.arguments.converter import Converter
from errands.arguments.enums import ENUM
from errands.arguments.standard import STANDARD
from errands.arguments.temporal import TEMPORAL
from errands.arguments.translations import LAZY

JSON_TYPES = frozenset({object, type(None), bool, int, float, str, list, dict})

# Tags the codec reads itself: an escaped dict, a very long int, a record.
OWN_TAGS = frozenset({"dict", "int", "model"})

_by_type: dict[type, Converter[Any]] = {}
_by_tag: dict[str, Converter[Any]] = {}


def register_converter[T](  # noqa: PLR0913 - one call says all about a type
    kind: type[T],
    /,
    *,
    tag: str,
    encode: Callable[[T], Any],
    decode: Callable[[Any], T],
    parse: Callable[[str], T] | None = None,
    describe: str = "",
) -> Converter[T]:
    """Teach errands to carry values of one more type, and its subclasses.

    Call it where every process comes by, such as ``AppConfig.ready``. A tag
    is for good: tasks that wait in the queue hold it. See ``Converter`` for
    what the functions do. ``TypeError`` and ``ValueError`` for what cannot do
    that, and for a type or a tag that is taken.
    """
    converter = Converter(
        type=kind, tag=tag, encode=encode, decode=decode, parse=parse, describe=describe
    )
    _check(converter)
    _add(converter)
    return converter


def converter_for(kind: type) -> Converter[Any] | None:
    """Return the converter of the type or of its nearest base."""
    for base in kind.__mro__:
        if base in _by_type:
            return _by_type[base]
    return None


def converter_tagged(tag: str) -> Converter[Any] | None:
    """Return the converter that wrote the tag."""
    return _by_tag.get(tag)


def _check(converter: Converter[Any]) -> None:
    """Raise ``TypeError`` for what would be found out at the first value only."""
    kind = converter.type
    if not isinstance(kind, type):
        raise TypeError(f"register_converter() got {kind!r}; it takes a class.")
    for option in ("tag", "describe"):
        if not isinstance(text := getattr(converter, option), str):
            raise TypeError(f"{option} of {kind.__name__} is {text!r}; it takes a text.")
    if not converter.tag:
        raise ValueError(f"tag of {kind.__name__} is ''; it takes one such as 'money'.")
    for option in ("encode", "decode", "parse"):
        function = getattr(converter, option)
        if function is None and option == "parse":
            continue
        if not callable(function) or iscoroutinefunction(function):
            told = "async" if callable(function) else repr(function)
            raise TypeError(
                f"{option} of {kind.__name__} is {told}; it takes a plain function."
            )


def _add(converter: Converter[Any]) -> None:
    name, tag = converter.type.__qualname__, converter.tag
    if converter.type in JSON_TYPES:
        raise ValueError(f"{name} needs no converter and cannot have one: it is JSON.")
    if tag in OWN_TAGS:
        raise ValueError(f"The tag {tag!r} is reserved. Choose another for {name}.")
    if tag in _by_tag:
        owner = _by_tag[tag].type.__qualname__
        raise ValueError(f"The tag {tag!r} is {owner}'s. Choose another for {name}.")
    if converter.type in _by_type:
        other = _by_type[converter.type].tag
        raise ValueError(f"{name} has a converter already, with the tag {other!r}.")
    _by_type[converter.type] = _by_tag[tag] = converter


for _built_in in (*TEMPORAL, *STANDARD, ENUM, LAZY):
    _add(_built_in)
