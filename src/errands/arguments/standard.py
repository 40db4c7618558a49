"""Numbers, identifiers and containers that Python has and JSON has not."""

from decimal import Decimal, InvalidOperation
from uuid import UUID

from errands.arguments.converter import Converter


def _encode_decimal(number: Decimal) -> str:
    return str(_finite(number))


def _parse_decimal(text: str) -> Decimal:
    try:
        return _finite(Decimal(text))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal number.") from error


def _finite(number: Decimal) -> Decimal:
    if not number.is_finite():
        raise ValueError(f"{number} is not a number one can count with. Pass None.")
    return number


STANDARD = (
    Converter(
        type=Decimal,
        tag="decimal",
        encode=_encode_decimal,
        decode=_parse_decimal,
        parse=_parse_decimal,
        describe="a decimal number such as 12.50",
    ),
    Converter(
        type=UUID,
        tag="uuid",
        encode=str,
        decode=UUID,
        parse=UUID,
        describe="a UUID such as 123e4567-e89b-12d3-a456-426614174000",
    ),
    Converter(type=tuple, tag="tuple", encode=list, decode=tuple),
    Converter(type=set, tag="set", encode=list, decode=set),
    Converter(type=frozenset, tag="frozenset", encode=list, decode=frozenset),
)
