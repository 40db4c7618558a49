"""Which converter carries which type, and which tag is whose."""

from collections.abc import Callable
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
    what the functions do.
    """
    converter = Converter(
        type=kind, tag=tag, encode=encode, decode=decode, parse=parse, describe=describe
    )
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
