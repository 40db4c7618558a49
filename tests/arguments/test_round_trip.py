"""decode(json(encode(value))) is the value, for every type that can be carried."""

import json
import zoneinfo
from datetime import UTC
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from errands.arguments import decode, decode_call, encode, encode_call
from tests.testapp.enums import Access, Colour, Urgency
from tests.testapp.models import Order

zones = st.sampled_from(
    [UTC, *map(zoneinfo.ZoneInfo, ("UTC", "Europe/Vienna", "Australia/Lord_Howe"))]
)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
around_64_bits = st.integers(2**64 - 2, 2**64 + 2)
ints = st.integers() | around_64_bits | around_64_bits.map(int.__neg__)
texts = st.text(st.characters())  # lone surrogates and NUL among them
keys = texts | st.sampled_from(["$", "v"])
moments = st.datetimes(timezones=zones, allow_imaginary=True)

hashables = st.one_of(
    st.none(),
    st.booleans(),
    ints,
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    decimals,
    st.uuids(),
    st.dates(),
    moments,
    st.times() | st.times(timezones=zones),
    st.timedeltas(),
    st.sampled_from([*Order.Status, *Urgency, *Colour, Access.READ | Access.WRITE]),
)
values = st.recursive(
    hashables | st.sets(hashables) | st.frozensets(hashables),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner)
        | st.lists(inner).map(tuple)
        | st.fixed_dictionaries({"$": keys | inner, "v": inner})
    ),
    max_leaves=12,
)


@given(values)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    stored = json.dumps(encode(value), allow_nan=False)

    arrived = decode(json.loads(stored))

    assert arrived == value
    assert types_of(arrived) == types_of(value)


@given(st.lists(values, max_size=3), st.dictionaries(keys, values, max_size=3))
def test_every_call_comes_back_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    stored = json.dumps(encode_call(args, kwargs), allow_nan=False)

    arrived = decode_call(*json.loads(stored))

    assert arrived == (args, kwargs)


@given(values)
def test_equal_values_are_encoded_equally(value: Any) -> None:
    copy = decode(encode(value))

    assert encode(copy) == encode(value)


@given(decimals)
def test_a_decimal_keeps_its_exponent_and_the_sign_of_its_zero(value: Decimal) -> None:
    arrived = decode(encode(value))

    assert arrived.as_tuple() == value.as_tuple()


@given(moments)
def test_a_datetime_keeps_its_instant_and_its_zone(moment: Any) -> None:
    arrived = decode(encode(moment))

    assert arrived.timestamp() == moment.timestamp()
    assert arrived.utcoffset() == moment.utcoffset()
    assert arrived.tzinfo == moment.tzinfo


def types_of(value: Any) -> Any:
    match value:
        case list() | tuple():
            return type(value), [types_of(item) for item in value]
        case dict():
            return dict, {key: types_of(item) for key, item in value.items()}
    return type(value)
