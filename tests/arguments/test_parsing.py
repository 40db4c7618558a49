"""What a person types on a command line."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest

from errands.arguments import describe, parse
from errands.exceptions import ArgumentError
from tests.testapp.enums import Access, Colour, Urgency
from tests.testapp.models import Account, Order

AccountNumber = NewType("AccountNumber", int)
type Days = list[date]

REFERENCE = "5f2b9c6e-0f5c-4c3b-9d6e-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "42", "42"),
        (Any, "42", "42"),
        (int, "-42", -42),
        (float, "1e3", 1000.0),
        (bool, "Yes", True),
        (bool, "off", False),
        (date, "2026-12-31", date(2026, 12, 31)),
        (datetime, "2026-07-01T12:00Z", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        (time, "23:59", time(23, 59)),
        (timedelta, "1:30:00", timedelta(hours=1, minutes=30)),
        (timedelta, "P2DT12H", timedelta(days=2, hours=12)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, REFERENCE, UUID(REFERENCE)),
        (Colour, "red", Colour.RED),
        (Urgency, "2", Urgency.HIGH),
        (Access, "WRITE", Access.WRITE),
        (Order.Status, "paid", Order.Status.PAID),
        (Literal["csv", "xlsx"], "xlsx", "xlsx"),
        (Literal[1, 2], "2", 2),
        (Optional[int], "", None),  # noqa: UP045 - people write it
        (int | None, "7", 7),
        (str | int, "7", 7),
        (str | int, "seven", "seven"),
        (date | Literal["today"], "today", "today"),
        (list[int], "1, 2,3", [1, 2, 3]),
        (list, 'a,"b,c"', ["a", "b,c"]),
        (list[int], "", []),
        (set[int], "1,1,2", {1, 2}),
        # Its representation differs from process to process.
        pytest.param(frozenset[str], "a,b", frozenset("ab"), id="frozenset[str]"),
        (tuple[int, ...], "1,2", (1, 2)),
        (tuple[str, int], "a,2", ("a", 2)),
        (Annotated[int, "Age in days"], "30", 30),
        (AccountNumber, "7", 7),
        (Days, "2026-01-01,2026-01-02", [date(2026, 1, 1), date(2026, 1, 2)]),
    ],
    ids=repr,
)
def test_text_becomes_the_annotated_value(annotation: Any, text: str, value: Any) -> None:
    parsed = parse(annotation, text)

    assert parsed == value
    assert type(parsed) is type(value)


def test_a_datetime_without_an_offset_is_in_the_current_time_zone() -> None:
    parsed = parse(datetime, "2026-07-01 12:00")

    assert parsed.isoformat() == "2026-07-01T12:00:00+02:00"


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (int, "x", "Expected a whole number, got 'x'."),
        (float, "nan", "Expected a number, got 'nan'."),
        (bool, "maybe", "Expected yes or no, got 'maybe'."),
        (date, "31.12.", "Expected a date such as 2026-12-31, got '31.12.'."),
        (Decimal, "NaN", "Expected a decimal number such as 12.50, got 'NaN'."),
        (Colour, "blue", "Expected one of RED, GREEN, got 'blue'."),
        (Literal["csv", "xlsx"], "pdf", "Expected one of csv, xlsx, got 'pdf'."),
        (int | None, "x", "Expected a whole number or nothing, got 'x'."),
        (
            list[int],
            "1,x",
            "Expected a whole number, or several, separated by commas, got '1,x'.",
        ),
        (
            tuple[int, str],
            "1",
            "Expected a whole number, then a text, with commas, got '1'.",
        ),
        (list, '"a', "Expected a text, or several, separated by commas, got '\"a'."),
        (int, "x" * 100, f"Expected a whole number, got '{'x' * 79}…'."),
    ],
    ids=lambda part: repr(part)[:40],
)
def test_what_cannot_be_read_is_explained_to_the_person(
    annotation: Any, text: str, message: str
) -> None:
    with pytest.raises(ArgumentError) as refused:
        parse(annotation, text)

    assert str(refused.value) == message


def test_a_record_is_named_by_its_primary_key(db: None) -> None:
    account = Account.objects.create(name="Ada")
    order = Order.objects.create(account=account)

    assert parse(Account, str(account.pk)) == account
    assert parse(Order | None, str(order.pk)) == order


@pytest.mark.parametrize("text", ["0", "ada", "", "9" * 40])
def test_a_record_that_does_not_exist_is_explained(db: None, text: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        parse(Account, text)

    assert str(refused.value) == (
        f"Expected the primary key of an existing testapp.Account, got '{text}'."
    )


@pytest.mark.parametrize(
    ("annotation", "name"),
    [(dict, "dict"), (bytes | None, "bytes"), (Callable, "Callable")],
    ids=str,
)
def test_a_type_nobody_can_type_is_an_error_about_the_type(
    annotation: Any, name: str
) -> None:
    with pytest.raises(ArgumentError) as refused:
        parse(annotation, "x")

    assert str(refused.value) == (
        f"A value of type {name} cannot be typed on a command line. Give its "
        "converter a parse= function, or annotate the parameter otherwise."
    )


def test_an_annotation_is_described_in_words() -> None:
    assert describe(Annotated[date | None, "since"]) == (
        "a date such as 2026-12-31 or nothing"
    )


@pytest.mark.parametrize("text", [None, 1.5, b"5", ["5"]])
def test_what_is_no_text_is_refused_as_that(text):
    with pytest.raises(TypeError) as refused:
        parse(int, text)

    assert str(refused.value) == (
        f"parse() got {text!r}; it takes a text, as somebody typed it."
    )
