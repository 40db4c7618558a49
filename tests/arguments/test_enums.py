"""Enum members travel by the app and the name of their enum."""

from enum import Enum, IntEnum, IntFlag
from typing import Any

import pytest

from errands.arguments import decode, encode, register_converter
from errands.exceptions import ArgumentError, DecodeError
from tests.testapp.enums import Access, Colour, Urgency
from tests.testapp.models import Order


class Stranger(IntEnum):
    """Belongs to no installed app."""

    ONE = 1


class Strangers(IntFlag):
    """Belong to no installed app."""

    ONE = 1
    TWO = 2


def test_a_member_is_carried_by_app_enum_and_name() -> None:
    assert encode([Order.Status.PAID, Colour.RED, Urgency.HIGH]) == [
        {"$": "enum", "v": ["testapp.Order.Status", "PAID"]},
        {"$": "enum", "v": ["testapp.Colour", "RED"]},
        {"$": "enum", "v": ["testapp.Urgency", "HIGH"]},
    ]


def test_a_member_arrives_as_the_very_member() -> None:
    assert decode(encode(Order.Status.PAID)) is Order.Status.PAID
    assert decode(encode(Urgency.HIGH)) is Urgency.HIGH


def test_flags_travel_combined() -> None:
    both = Access.READ | Access.WRITE

    assert encode(both) == {"$": "enum", "v": ["testapp.Access", 3]}
    assert decode(encode(both)) == both


def test_an_enum_of_no_app_is_refused_with_the_remedy() -> None:
    with pytest.raises(ArgumentError) as refused:
        encode(Stranger.ONE)

    assert str(refused.value) == (
        "The value cannot be carried: <Stranger.ONE: 1> belongs to an enum that no "
        "installed app defines under a name of its own. Pass its value, or register "
        "the enum: errands.register_converter(Stranger, tag=…, encode=lambda member: "
        "member.name, decode=Stranger.__getitem__)."
    )


def test_flags_of_no_app_are_refused_with_a_remedy_that_takes_combinations(
    own_converters: None,
) -> None:
    both = Strangers.ONE | Strangers.TWO

    with pytest.raises(ArgumentError, match=r"flags\.value, decode=Strangers\)\.$"):
        encode(both)
    register_converter(
        Strangers, tag="strangers", encode=lambda flags: flags.value, decode=Strangers
    )

    assert decode(encode(both)) == both


def test_the_remedy_works(own_converters: None) -> None:
    register_converter(
        Stranger,
        tag="stranger",
        encode=lambda member: member.name,
        decode=Stranger.__getitem__,
    )

    assert encode(Stranger.ONE) == {"$": "stranger", "v": "ONE"}
    assert decode(encode(Stranger.ONE)) is Stranger.ONE


def test_an_enum_inside_a_function_is_refused() -> None:
    class Local(Enum):
        ONE = 1

    Local.__module__ = "tests.testapp.enums"

    with pytest.raises(ArgumentError, match="that no installed app defines"):
        encode(Local.ONE)


def test_two_enums_of_one_name_in_one_app_are_refused() -> None:
    twins: list[Any] = [
        Enum("Twin", "ONE", module=f"tests.testapp.{module}") for module in ("a", "b")
    ]

    for twin in twins:
        with pytest.raises(ArgumentError, match=r"More than one enum is called 'testa"):
            encode(twin.ONE)


@pytest.mark.parametrize("member", ["BLUE", 7, None])
def test_a_member_that_is_gone_is_a_decode_error(member: object) -> None:
    with pytest.raises(DecodeError, match=r"^This is not a readable 'enum': "):
        decode({"$": "enum", "v": ["testapp.Colour", member]})
