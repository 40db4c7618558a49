"""The arguments of one call, encoded together."""

from datetime import date
from typing import Any

import pytest

from errands.arguments import decode_call, encode_call
from errands.exceptions import ArgumentError


def test_a_call_is_a_list_and_a_dict() -> None:
    wire = encode_call((1, date(2026, 1, 1)), {"copy_to": "ada", "$": None})

    assert wire == ([1, {"$": "date", "v": "2026-01-01"}], {"copy_to": "ada", "$": None})
    assert decode_call(*wire) == ([1, date(2026, 1, 1)], {"copy_to": "ada", "$": None})


@pytest.mark.parametrize(
    ("args", "kwargs", "names", "subject"),
    [
        ([1, b""], {}, ["first", "second"], "Argument 'second' cannot be carried: "),
        ([1, 2, b""], {}, ["first"], "Argument 3 cannot be carried: "),
        ([1, b""], {}, None, "Argument 2 cannot be carried: "),
        ([1], {"third": b""}, ["first"], "Argument 'third' cannot be carried: "),
        ([[b""]], {}, ["first", "second"], "Argument 'first', at [0], cannot be carr"),
    ],
    ids=["named", "beyond the names", "without names", "keyword", "inside"],
)
def test_the_argument_that_cannot_be_carried_is_named(
    args: list[Any], kwargs: dict[str, Any], names: list[str] | None, subject: str
) -> None:
    with pytest.raises(ArgumentError) as refused:
        encode_call(args, kwargs, names=names)

    assert str(refused.value).startswith(subject)


def test_one_mebibyte_is_carried_and_one_byte_more_is_not() -> None:
    brackets_and_quotes = len('[["",""],{}]') - 1
    most = "a" * (1024 * 1024 - brackets_and_quotes - 1)

    encode_call([most, ""], {})
    with pytest.raises(ArgumentError) as refused:
        encode_call([most, "b"], {})

    assert str(refused.value) == (
        "The arguments are 1,048,577 bytes of JSON, and at most 1,048,576 can be "
        "carried. Save what is large to a storage or a model and pass its name or "
        "primary key."
    )
