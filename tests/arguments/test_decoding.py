"""What is stored may be anything: every bad value ends in a DecodeError."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errands.arguments import decode
from errands.exceptions import DecodeError, ErrandsError, UnknownTag

TAGS = [
    *["date", "datetime", "decimal", "dict", "enum", "frozenset", "int", "lazy"],
    *["model", "set", "time", "timedelta", "tuple", "uuid"],
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$"), inner),
    max_leaves=8,
)


def test_a_tag_nobody_knows_is_named() -> None:
    with pytest.raises(UnknownTag) as unknown:
        decode([{"$": "money", "v": "1 EUR"}])

    assert str(unknown.value) == (
        "No converter here knows the tag 'money'. Does this process come by the "
        "errands.register_converter call for it?"
    )


@pytest.mark.parametrize(
    "wire",
    [
        {"$": "date"},
        {"$": "date", "v": "2026-01-01", "w": 1},
        {"$": 1, "v": 1},
        {"$": None},
    ],
)
def test_a_tag_that_is_not_one_is_a_decode_error(wire: Any) -> None:
    with pytest.raises(DecodeError) as malformed:
        decode(wire)

    assert str(malformed.value) == 'A tagged value must be {"$": tag, "v": value}.'


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("date", "2026-02-30", "day "),
        ("decimal", "1,5", "'1,5' is not a decimal number."),
        ("timedelta", "soon", "'soon' is not a duration."),
        ("uuid", "42", "badly formed hexadecimal UUID string"),
        ("set", [[]], "unhashable type: 'list'"),
        ("enum", ["os.environ", "HOME"], "No installed app here defines an enum"),
    ],
)
def test_a_value_its_converter_cannot_read_is_a_decode_error(
    tag: str, value: Any, reason: str
) -> None:
    with pytest.raises(DecodeError) as unreadable:
        decode({"$": tag, "v": value})

    told = str(unreadable.value)
    assert told.startswith(f"This is not a readable '{tag}': ")
    assert reason in told


def test_what_is_nested_too_deep_is_a_decode_error() -> None:
    wire: Any = None
    for _ in range(100_000):
        wire = [wire]

    with pytest.raises(DecodeError, match=r"nested deeper than 100 levels\.$"):
        decode(wire)


def test_a_wrong_escape_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match=r"^An escaped dict must hold a dict\.$"):
        decode({"$": "dict", "v": []})


@given(st.sampled_from(TAGS), json_values)
def test_no_stored_value_raises_anything_but_an_error_of_ours(
    tag: str, value: Any
) -> None:
    with suppress(ErrandsError):
        decode({"$": tag, "v": value})


@given(json_values.filter(lambda value: "$" not in repr(value)))
def test_json_without_a_tag_is_itself(value: Any) -> None:
    assert decode(value) == value
