"""Keys of calls are the same in every process, whatever the arguments hold."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from errands import ArgumentError, task
from errands.tasks import keys
from errands.tasks.keys import KEY_LIMIT, unique_key
from errands.tasks.rates import Rate
from errands.tasks.task import Task
from tests.testapp.models import Account

SENDER = object()


def send(account: Any, since: Any = None, *, copy_to: str = "") -> None:
    """Stand in for a task's function."""


def key_of(declared: Task, *args: Any, **kwargs: Any) -> str | None:
    return unique_key(declared, *declared.encode_call(args, kwargs))


def shared_key(template: str, *args: Any, **kwargs: Any) -> str:
    declared = task(concurrency=(template, 2))(send)
    return keys.shared_key(template, declared, declared.encode_call(args, kwargs))


def test_a_task_is_not_unique_unless_it_says_so():
    assert key_of(task(send), 1) is None


def test_the_same_arguments_have_the_same_key_however_they_are_passed():
    declared = task(unique=True)(send)

    keys = {
        key_of(declared, 1),
        key_of(declared, account=1),
        key_of(declared, 1, None),
        key_of(declared, 1, copy_to=""),
    }

    assert len(keys) == 1


def test_other_arguments_and_other_functions_have_other_keys():
    declared, other = task(unique=True)(send), task(unique=True)(key_of_other)

    keys = {key_of(declared, 1), key_of(declared, 2), key_of(declared, "1")}
    keys.add(key_of(other, 1))

    assert len(keys) == 4


def key_of_other(account: Any) -> None:
    """Stand in for another function."""


def test_only_the_arguments_that_are_named_count():
    declared = task(unique=("account",))(send)

    assert key_of(declared, 1, 2) == key_of(declared, 1, 3)
    assert key_of(declared, 1, 2) != key_of(declared, 2, 2)


def send_by(account: Any, sender: Any = SENDER) -> None:
    """Stand in for a function with a default that cannot be carried."""


@pytest.mark.parametrize("unique", [("account",), "account:{account}"])
def test_a_default_that_the_key_does_not_name_need_not_be_carried(unique: Any):
    declared = task(unique=unique)(send_by)

    assert key_of(declared, 1) == key_of(declared, 1, "anna")


@pytest.mark.parametrize("unique", [True, ("sender",), "by:{sender}"])
def test_a_default_that_counts_is_named_where_it_cannot_be_carried(unique: Any):
    declared = task(unique=unique)(send_by)

    with pytest.raises(ArgumentError) as refused:
        key_of(declared, 1)

    assert str(refused.value) == (
        "The default of 'sender' cannot be carried: its type is object, which nobody "
        "registered. Pass its parts, or teach errands with "
        "errands.register_converter(object, tag=…, encode=…, decode=…)."
    )


def test_a_limit_or_rate_without_braces_asks_no_default():
    declared = task(rate=("partner", "5/s"))(send_by)

    key = keys.shared_key("partner", declared, declared.encode_call((1,), {}))

    assert key == "partner"


def test_a_key_is_the_same_as_it_was_in_earlier_versions():
    every = task(unique=True)(collect)
    named = task(unique=("rest", "since"))(collect)
    filled = task(unique="{account}/{since}")(collect)

    found = [str(key_of(each, 1, 2, 3, full=True)) for each in (every, named, filled)]

    assert [key[:12] for key in found] == ["9195069ca971", "f6237957f36e", "d05a6532568a"]


def collect(account: Any, *rest: Any, since: Any = date(2026, 1, 2), **more: Any) -> None:
    """Stand in for a function that takes anything."""


def test_a_template_is_filled_with_text_numbers_and_values_of_all_kinds():
    key = "{account}/{since}"

    assert shared_key(key, "anna", 3) == "anna/3"
    assert shared_key(key, Decimal("1.10"), date(2026, 1, 2)) == "1.10/2026-01-02"
    assert shared_key(key, None, [1, {"a": "b"}]) == 'null/[1, {"a": "b"}]'


def test_a_record_is_its_model_and_primary_key(db: None):
    account = Account.objects.create(name="anna")

    assert shared_key("{account}", account).startswith(f"testapp.account:{account.pk}")


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, "two\nlines", "nul\0", "\ud800", "\x1b[2J", "{since}", "'; DROP"],
)
def test_a_hostile_value_becomes_a_bounded_key_that_databases_take(value: str):
    key = shared_key("partner:{account}", value)

    assert len(key) <= KEY_LIMIT
    assert "\0" not in key
    assert "\n" not in key
    key.encode("utf-8")


def test_long_values_that_differ_at_the_end_have_different_keys():
    first, second = ("x" * 500 + end for end in "ab")

    assert shared_key("{account}", first) != shared_key("{account}", second)


def test_a_key_without_braces_is_shared_by_all_calls():
    assert shared_key("partner", 1) == shared_key("partner", 2) == "partner"


@pytest.mark.parametrize(
    "text", ["0/s", "-1/s", "1/w", "1 / s", "", "1/s\n", "٣/s", None]
)
def test_a_rate_that_cannot_be_read_is_refused_with_examples(text: Any):
    with pytest.raises(ValueError, match=r"Write '10/s', '100/m', '500/h' or '1000/d'"):
        Rate.parse(text)
