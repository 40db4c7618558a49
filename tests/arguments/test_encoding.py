"""What is flattened, what is escaped and what is refused."""

import io
import json
from collections import OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.base import ContentFile
from django.db.models import Q
from django.http import QueryDict
from django.test import RequestFactory
from django.utils.datastructures import MultiValueDict
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from pytest_django import DjangoAssertNumQueries

from errands.arguments import decode, encode
from errands.exceptions import ArgumentError
from tests.testapp.models import Account, Order, OrderLine

Point = namedtuple("Point", "x y")


class Shout(str):
    """A string that looks different when printed."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Large(int):
    """An int with another name."""


def test_json_stays_json() -> None:
    value = {"a": [1, 2.5, "x", True, None, {}]}

    assert encode(value) == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Shout("a"), "a"),
        (mark_safe("<b>"), "<b>"),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Large(3), 3),
        (SimpleLazyObject(lambda: SimpleLazyObject(lambda: "lazy")), "lazy"),
    ],
)
def test_a_subclass_of_a_json_type_arrives_as_that_type(value: Any, plain: Any) -> None:
    wire = encode(value)

    assert wire == plain
    assert type(wire) is type(plain)


def test_the_keys_of_a_dict_arrive_as_plain_strings() -> None:
    wire = encode({Shout("a"): 1})

    assert wire == {"a": 1}
    assert [type(key) for key in wire] == [str]


def test_a_named_tuple_arrives_as_a_tuple() -> None:
    arrived = decode(encode(Point(1, 2)))

    assert arrived == (1, 2)
    assert type(arrived) is tuple


def test_a_tag_is_short_and_names_no_module() -> None:
    assert encode(Decimal("1.10")) == {"$": "decimal", "v": "1.10"}


def test_a_dict_that_looks_like_a_tag_is_escaped() -> None:
    forged = {"$": "model", "v": ["auth.user", "1", "default"]}

    assert encode(forged) == {"$": "dict", "v": forged}
    assert decode(encode(forged)) == forged


def test_a_string_is_never_given_a_meaning() -> None:
    text = '{"$": "model", "v": ["auth.user", "1", "default"]}'

    assert encode(text) == text
    assert decode(text) == text


def test_an_int_of_5000_digits_is_carried() -> None:
    number = 10**5000

    stored = json.dumps(encode(number))

    assert decode(json.loads(stored)) == number


def test_sets_are_encoded_in_an_order_of_their_own() -> None:
    assert encode({"b", "a", "c"}) == {"$": "set", "v": ["a", "b", "c"]}


@pytest.mark.django_db
def test_equal_sets_of_records_are_encoded_equally_whatever_they_print() -> None:
    # Their hashes meet, so that a set has them in the order in which they came.
    one, other = (Account.objects.create(pk=pk, name="Same") for pk in (1, 1025))

    assert encode({one, other}) == encode({other, one})


@pytest.mark.django_db
def test_a_set_does_not_ask_its_records_for_their_text(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    account = Account.objects.create(name="Ada")
    order = Order.objects.create(account=account)
    line = OrderLine.objects.create(order_id=order.pk, position=1)

    with django_assert_num_queries(0):
        encode({line})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_float_json_cannot_write_is_refused(number: float) -> None:
    assert refusal_of(number) == (
        f"The value cannot be carried: JSON has no {number}. Pass None."
    )


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-Infinity"])
def test_a_decimal_that_is_not_finite_is_refused(text: str) -> None:
    assert refusal_of(Decimal(text)) == (
        f"The value cannot be carried: {text} is not a number one can count with. "
        "Pass None."
    )


@pytest.mark.parametrize(("key", "kind"), [(1, "int"), (None, "NoneType")])
def test_a_key_that_is_not_a_string_is_refused(key: Any, kind: str) -> None:
    assert refusal_of({key: "a"}) == (
        "The value cannot be carried: the key of a dict must be a string in JSON, and "
        f"{key} is of type {kind}. Pass str(key), or a list of pairs."
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Account.objects.all(), "django.db.models.query.QuerySet, and a query is not"),
        (Account.objects, "django.db.models.manager.Manager, and a query is not"),
        (ContentFile(b""), "ContentFile, and a file cannot leave this process"),
        (io.BytesIO(), "_io.BytesIO, and a file cannot leave this process"),
        (b"GIF", "bytes, and bytes are not JSON. Save them to a storage"),
        (memoryview(b""), "memoryview, and bytes are not JSON."),
        (RequestFactory().get("/"), "WSGIRequest, and it ends before a worker begins"),
        (
            QueryDict("tag=a&tag=b"),
            "django.http.request.QueryDict, and it has several values for a key, where",
        ),
        (MultiValueDict(), "Pass its .dict(), which has the last of each, or dict("),
        (len, "builtin_function_or_method, and code does not travel"),
        (lambda: None, "function, and code does not travel"),
        (partial(len), "functools.partial, and code does not travel"),
        (Account, "ModelBase, and code does not travel"),
        (io, "module, and code does not travel"),
        (
            (letter for letter in ""),
            "generator, and it can be read only once, and only here.",
        ),
        (map(len, ()), "map, and it can be read only once, and only here. Pass a list."),
        (Q(pk=1), "Q, and a query is not a value. Pass the primary keys, or what"),
        (Path("a.csv"), "Path, and a path may lead elsewhere on the worker's machine."),
        (AnonymousUser(), "AnonymousUser, and nobody has signed in. Pass None for"),
        (object(), "object, which nobody registered. Pass its parts, or teach errands"),
    ],
)
def test_what_cannot_travel_is_refused_with_a_remedy(value: Any, words: str) -> None:
    assert words in refusal_of(value)


def test_what_a_form_sent_travels_as_either_dict_that_the_refusal_names() -> None:
    sent = QueryDict("tag=a&tag=b")

    assert encode(sent.dict()) == {"tag": "b"}
    assert encode(dict(sent.lists())) == {"tag": ["a", "b"]}


def test_a_refused_query_is_not_run(
    django_assert_num_queries: DjangoAssertNumQueries, db: None
) -> None:
    with django_assert_num_queries(0):
        refusal_of(Account.objects.all())


def test_a_refusal_says_where_in_the_value_it_is() -> None:
    value = {"rows": [1, (2, {"file": b"GIF"})]}

    assert refusal_of(value).startswith(
        "The value, at ['rows'][1][1]['file'], cannot be carried: its type is bytes"
    )


def test_what_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append({"loop": loop})

    assert refusal_of(loop) == (
        "The value cannot be carried: it is nested deeper than 100 levels, or contains "
        "itself. Store it and pass its primary key."
    )


@pytest.mark.parametrize("container", [list, tuple])
def test_what_is_nested_100_000_deep_is_refused(container: Any) -> None:
    nested: Any = None
    for _ in range(100_000):
        nested = container([nested])

    assert "it is nested deeper than 100 levels" in refusal_of(nested)


def test_what_is_nested_100_deep_is_carried() -> None:
    nested: Any = None
    for _ in range(100):
        nested = [nested]

    assert decode(encode(nested)) == nested


def refusal_of(value: Any) -> str:
    with pytest.raises(ArgumentError) as refused:
        encode(value)
    return str(refused.value)
