"""What options name must be there, and is looked for where they are written."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.tasks import task as djangos_task

from errands import TaskContext, task
from errands.tasks.templates import placeholders
from tests.testapp import tasks


def sync(account: int, *, full: bool = False, **extra: Any) -> None:
    """Stand in for a task."""


def with_context(context: TaskContext, account: int) -> None:
    """Stand in for a task that takes its context."""


async def think(account: int) -> None:
    """Stand in for an async task."""


def rows() -> Iterator[int]:
    """Stand in for a generator."""
    yield 1


async def async_rows() -> AsyncIterator[int]:
    """Stand in for an async generator."""
    yield 1


@pytest.mark.parametrize("function", [rows, async_rows])
def test_a_generator_is_refused_because_none_of_its_lines_would_run(function):
    with pytest.raises(TypeError) as refused:
        task(function)

    assert str(refused.value) == (
        f"{function.__name__} is a generator: calling it runs none of its lines. "
        "Return a list instead of yielding, or nothing at all."
    )


@pytest.mark.parametrize(
    "options",
    [
        {"unique": ("acount",)},
        {"unique": "partner:{acount}"},
        {"concurrency": ("partner:{acount}", 2)},
        {"rate": ("partner:{acount}", "1/s")},
    ],
    ids=str,
)
def test_a_name_that_no_argument_has_is_refused_with_the_one_that_is_meant(options):
    (option,) = options

    with pytest.raises(ValueError, match="Did you mean") as refused:
        task(**options)(sync)

    assert str(refused.value) == (
        f"{option} names 'acount', which is no argument of sync. Did you mean 'account'?"
    )


def test_a_name_like_none_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="It takes: account, full, extra"):
        task(unique=("number",))(sync)


@pytest.mark.parametrize(
    ("function", "name"), [(sync, "account"), (sync, "full"), (with_context, "account")]
)
def test_a_text_that_is_the_name_of_an_argument_is_asked_what_it_means(function, name):
    takes_context = function is with_context

    with pytest.raises(ValueError, match="Did you mean") as refused:
        task(unique=name, takes_context=takes_context)(function)

    assert str(refused.value) == (
        f"unique is {name!r}, a text that fills in no argument: all calls would be one "
        f"task. Did you mean ({name!r},) or '{{{name}}}'?"
    )


def test_a_text_that_no_argument_has_for_a_name_is_one_key_for_all_calls():
    made = task(unique="accounts")(sync)

    assert made.options.unique == "accounts"


def test_the_context_is_no_argument():
    with pytest.raises(ValueError, match="names 'context', which is no argument"):
        task(unique=("context",), takes_context=True)(with_context)


def test_using_is_checked_as_the_decorator_is():
    with pytest.raises(ValueError, match=r"unique names 'lft'.*mean 'left'"):
        tasks.add.using(unique=("lft",))


def test_djangos_own_decorator_with_our_options_is_checked_too():
    with pytest.raises(ValueError, match="unique names 'acount'"):
        djangos_task(unique=("acount",))(sync)


@pytest.mark.parametrize(
    "template",
    ["{}", "{0}", "{account.id}", "{account[0]}", "{account!r}", "{account:>10}"],
)
def test_a_template_holds_names_and_nothing_else(template):
    with pytest.raises(ValueError, match="may hold names of arguments in braces"):
        task(concurrency=(template, 1))(sync)


@pytest.mark.parametrize("template", ["{account", "account}", "{"])
def test_an_unbalanced_brace_is_explained(template):
    with pytest.raises(ValueError, match=r"cannot be read: .* Write '\{\{'"):
        task(rate=(template, "1/s"))(sync)


def test_doubled_braces_are_braces():
    assert placeholders("{{literal}}:{account}") == {"account"}


def test_an_async_task_cannot_be_transactional_and_is_told_why():
    with pytest.raises(TypeError) as refused:
        task(transactional=True)(think)

    assert str(refused.value) == (
        "think is async and cannot be transactional: a transaction belongs to one "
        "thread. Make it a plain function, or leave the option out."
    )
