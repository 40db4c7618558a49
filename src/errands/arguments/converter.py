"""``Converter``: how the values of one type travel, and how a person types them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter[T]:
    """Carry values of one type as ``{"$": tag, "v": …}``.

    ``encode`` returns anything that can itself be carried, and ``decode`` is
    given exactly that back. Either says no with a ``ValueError`` that holds
    the reason; the codec adds which argument it was. ``parse`` reads what a
    person types for a value, and ``describe`` says what that is: "a date such
    as 2026-12-31".
    """

    type: "type[T]"
    tag: str
    encode: Callable[[T], Any]
    decode: Callable[[Any], T]
    parse: Callable[[str], T] | None = None
    describe: str = ""
