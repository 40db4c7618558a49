"""Types that a site adds."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from errands.arguments import decode, encode, parse, register_converter
from errands.exceptions import ArgumentError, DecodeError

pytestmark = pytest.mark.usefixtures("own_converters")


@dataclass(frozen=True)
class Money:
    """An amount in some currency."""

    amount: Decimal
    currency: str


class Tip(Money):
    """Money on top."""


def encode_money(money: Money) -> list[Any]:
    if not money.currency:
        raise ValueError("money needs a currency.")
    return [money.amount, money.currency]


def parse_money(text: str) -> Money:
    amount, currency = text.split()
    return Money(Decimal(amount), currency)


def register_money() -> None:
    register_converter(
        Money,
        tag="money",
        encode=encode_money,
        decode=lambda parts: Money(*parts),
        parse=parse_money,
        describe="an amount such as 12.50 EUR",
    )


def test_what_a_converter_returns_is_encoded_in_turn() -> None:
    register_money()

    wire = encode([Money(Decimal("1.10"), "EUR")])

    assert wire == [{"$": "money", "v": [{"$": "decimal", "v": "1.10"}, "EUR"]}]
    assert decode(wire) == [Money(Decimal("1.10"), "EUR")]


def test_a_subclass_is_carried_by_the_converter_of_its_nearest_base() -> None:
    register_money()

    assert decode(encode(Tip(Decimal(1), "EUR"))) == Money(Decimal(1), "EUR")


def test_the_converter_of_the_very_type_wins() -> None:
    register_money()
    register_converter(
        Tip, tag="tip", encode=encode_money, decode=lambda parts: Tip(*parts)
    )

    assert decode(encode(Tip(Decimal(1), "EUR"))) == Tip(Decimal(1), "EUR")


def test_a_converter_gives_the_reason_and_the_codec_the_place() -> None:
    register_money()

    with pytest.raises(ArgumentError) as refused:
        encode({"price": Money(Decimal(1), "")})

    assert str(refused.value) == (
        "The value, at ['price'], cannot be carried: money needs a currency."
    )


def test_an_encoder_that_returns_its_own_type_is_refused_not_endless() -> None:
    register_converter(Money, tag="money", encode=lambda m: m, decode=lambda m: m)

    with pytest.raises(ArgumentError, match=r"or contains itself\."):
        encode(Money(Decimal(1), "EUR"))


def test_what_a_decoder_cannot_read_is_a_decode_error() -> None:
    register_money()

    with pytest.raises(DecodeError, match=r"^This is not a readable 'money': "):
        decode({"$": "money", "v": 1})


def test_the_same_converter_reads_the_command_line() -> None:
    register_money()

    assert parse(Money, "12.50 EUR") == Money(Decimal("12.50"), "EUR")
    with pytest.raises(ArgumentError) as refused:
        parse(Money, "12.50")
    assert str(refused.value) == "Expected an amount such as 12.50 EUR, got '12.50'."


@pytest.mark.parametrize(
    ("kind", "tag", "message"),
    [
        (Money, "decimal", "The tag 'decimal' is Decimal's. Choose another for Money."),
        (Money, "model", "The tag 'model' is reserved. Choose another for Money."),
        (date, "day", "date has a converter already, with the tag 'date'."),
        (dict, "map", "dict needs no converter and cannot have one: it is JSON."),
        (object, "any", "object needs no converter and cannot have one: it is JSON."),
    ],
)
def test_a_tag_or_type_that_is_taken_is_refused(
    kind: type, tag: str, message: str
) -> None:
    with pytest.raises(ValueError, match=r"tag|converter") as refused:
        register_converter(kind, tag=tag, encode=str, decode=kind)

    assert str(refused.value) == message


async def encode_late(money: Money) -> str:
    """Stand in for what nobody would await."""
    return money.currency


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        (list[int], {}, "register_converter() got list[int]; it takes a class."),
        ("Money", {}, "register_converter() got 'Money'; it takes a class."),
        (Money, {"tag": 5}, "tag of Money is 5; it takes a text."),
        (Money, {"tag": ""}, "tag of Money is ''; it takes one such as 'money'."),
        (Money, {"describe": None}, "describe of Money is None; it takes a text."),
        (
            Money,
            {"encode": None},
            "encode of Money is None; it takes a plain function.",
        ),
        (
            Money,
            {"decode": "Money"},
            "decode of Money is 'Money'; it takes a plain function.",
        ),
        (
            Money,
            {"parse": 5},
            "parse of Money is 5; it takes a plain function.",
        ),
        (
            Money,
            {"encode": encode_late},
            "encode of Money is async; it takes a plain function.",
        ),
    ],
)
def test_what_can_carry_nothing_is_refused_when_it_is_registered(
    kind: Any, changed: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {"tag": "money", "encode": str, "decode": Money}

    with pytest.raises((TypeError, ValueError)) as refused:
        register_converter(kind, **options | changed)

    assert str(refused.value) == message
    register_converter(Money, **options)


def test_converters_can_be_registered_before_there_are_settings() -> None:
    program = (
        "from errands.arguments import encode, register_converter\n"
        "register_converter(complex, tag='complex', encode=str, decode=complex)\n"
        "print(encode([1, 2j]))"
    )

    printed = subprocess.check_output(
        [sys.executable, "-W", "error", "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        text=True,
    )

    assert printed == "[1, {'$': 'complex', 'v': '2j'}]\n"
