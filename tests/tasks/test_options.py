"""What an option takes is known when the task is declared."""

import copy
import math
from datetime import date, timedelta
from typing import Any

import pytest

from errands import TaskCancelled, exponential, task
from errands.tasks.attempt import judge
from errands.tasks.options import TaskOptions
from errands.tasks.outcomes import Discarded, Failed, Retry
from tests.tasks.test_attempt import result_of
from tests.testapp import tasks


def send(account: str, *, copy_to: str = "") -> None:
    """Stand in for a task's function."""


async def asend(account: str) -> None:
    """Stand in for an async task's function."""


async def wait_async(exception: Exception, task_result: object) -> float:
    """Stand in for a back-off that nobody can ask."""
    return 5


def send_from(context: object, account: str) -> None:
    """Stand in for a function that takes the context."""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": timedelta(0)}, "timeout is datetime.timedelta(0); it takes a"),
        (
            {"timeout": 30},
            "timeout is 30; it takes a positive timedelta, such as timedelta(minutes=2).",
        ),
        ({"max_attempts": 0}, "max_attempts is 0; it is a whole number from 1"),
        ({"max_attempts": True}, "max_attempts is True; it is a whole number from 1"),
        ({"rate": ("partner", "100")}, "The rate '100' is not understood"),
        ({"rate": "100/m"}, "rate is '100/m'; it takes a key and a limit"),
        ({"concurrency": ("a", 0)}, "its limit is a whole number from 1"),
        ({"concurrency": ("", 1)}, "it takes a key and a limit"),
        ({"unique": 3}, "unique is 3; it takes True, names of arguments, or a key"),
        (
            {"unique": ()},
            "unique is (), which names nothing. Pass True for all arguments",
        ),
        (
            {"unique": ""},
            "unique is '', which names nothing. Pass True for all arguments",
        ),
        (
            {"unique": []},
            "unique is (), which names nothing. Pass True for all arguments",
        ),
        ({"keep": 7}, "keep is 7; it takes a timedelta"),
        (
            {"keep": {"succeeded": None}},
            "keep is {'succeeded': None}; leave an outcome out to keep its results as",
        ),
        ({"keep": {"lost": timedelta(1)}}, "its keys are 'succeeded' and 'failed'"),
        ({"metadata": [1]}, "metadata is [1]; it takes a dict"),
        ({"metadata": {"_private": 1}}, "keys are texts that do not begin with '_'"),
        ({"metadata": {1: 1}}, "keys are texts that do not begin with '_'"),
        ({"metadata": {"a": date(2026, 1, 1)}}, "The metadata cannot be stored as JSON"),
        (
            {"metadata": {"a": [({"b": 1, 2: 3},)]}},
            "The metadata cannot be stored as JSON: its key 2 is of type int, not a text",
        ),
        ({"metadata": {"a": {None: 1}}}, "its key None is of type NoneType, not a text"),
        ({"metadata": {"a": math.nan}}, "The metadata cannot be stored as JSON"),
        ({"metadata": {"a": "x" * 65_536}}, "The metadata has 65,544 characters of JSON"),
        ({"at_most_once": 1}, "at_most_once is 1; it takes True or False."),
        ({"transactional": "no"}, "transactional is 'no'; it takes True or False."),
        ({"transactional": None}, "transactional is None; it takes True or False."),
        ({"queue_name": 5}, "queue_name is 5; it takes a text such as 'mail'."),
        ({"queue_name": None}, "queue_name is None; it takes a text such as 'mail'."),
        ({"priority": "high"}, "priority is 'high'; it takes a whole number from"),
        ({"priority": None}, "priority is None; it takes a whole number from"),
        ({"priority": math.nan}, "priority is nan; it takes a whole number from"),
        ({"priority": True}, "priority is True; it takes a whole number from"),
        ({"backend": None}, "backend is None; it takes an alias of TASKS such as"),
        ({"takes_context": "yes"}, "takes_context is 'yes'; it takes True or False."),
        ({"takes_context": None}, "takes_context is None; it takes True or False."),
        ({"retry_on": (3,)}, "retry_on holds 3, not an exception class"),
        ({"retry_on": None}, "retry_on holds None, not an exception class"),
        ({"retry_on": 5}, "retry_on holds 5, not an exception class"),
        ({"retry_on": int}, "retry_on holds <class 'int'>, not an exception class"),
        (
            {"retry_on": ValueError("x")},
            "retry_on holds ValueError('x'), not an exception class. It takes classes",
        ),
        ({"discard_on": None}, "discard_on holds None, not an exception class"),
        (
            {"discard_on": "KeyError"},
            "discard_on holds 'KeyError', not an exception class. It takes classes such",
        ),
        ({"backoff": 5}, "backoff is 5; it takes a function"),
        ({"backoff": {ValueError: 5}}, "backoff[ValueError] is 5; it takes a function"),
        (
            {"backoff": exponential},
            "backoff is the class exponential, not an instance of it. Pass exponential()",
        ),
        (
            {"backoff": {OSError: exponential}},
            "backoff[OSError] is the class exponential, not an instance of it. Pass",
        ),
        (
            {"backoff": wait_async},
            "backoff is async, and nobody would await it. Pass a plain function, such as",
        ),
        ({"backoff": {OSError: wait_async}}, "backoff[OSError] is async, and nobody"),
        (
            {"backoff": lambda: 1},
            "backoff is called with the exception and the result so far, and takes ().",
        ),
        ({"backoff": lambda a, b, c: 1}, "the result so far, and takes (a, b, c). Write"),
        ({"backoff": {OSError: lambda *, a: 1}}, "backoff[OSError] is called with the"),
        ({"backoff": {"x": exponential()}}, "backoff holds 'x', not an exception class"),
        ({"at_most_once": True, "transactional": True}, "exclude each other"),
        (
            {"at_most_once": True, "max_attempts": 5},
            "max_attempts is 5, and at_most_once allows one attempt. Leave one of them",
        ),
        (
            {"timout": timedelta(1)},
            "Unknown task option 'timout'. Did you mean 'timeout'?",
        ),
        (
            {"acks_late": True},
            "Unknown task option 'acks_late'. Known: max_attempts, backoff, retry_on,",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(options: Any, told: str):
    with pytest.raises((TypeError, ValueError)) as refusal:
        task(**options)(send)

    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"unique": ("acount",)},
            "unique names 'acount', which is no argument of send. Did you mean",
        ),
        (
            {"unique": "{nobody}"},
            "which is no argument of send. It takes: account, copy_to.",
        ),
        ({"concurrency": ("{acount}", 1)}, "concurrency names 'acount'"),
        ({"rate": ("{acount}", "1/s")}, "rate names 'acount'"),
        ({"rate": ("{account.name}", "1/s")}, "The key '{account.name}' may hold names"),
        ({"rate": ("{account!r}", "1/s")}, "The key '{account!r}' may hold names"),
        ({"rate": ("{account:>9}", "1/s")}, "The key '{account:>9}' may hold names"),
        ({"rate": ("{}", "1/s")}, "The key '{}' may hold names"),
        ({"rate": ("{0}", "1/s")}, "The key '{0}' may hold names"),
        ({"rate": ("{account", "1/s")}, "The key '{account' cannot be read"),
    ],
)
def test_a_key_can_only_name_arguments_of_the_function(options: Any, told: str):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is compared
        task(**options)(send)

    assert told in str(refusal.value)


def test_a_key_changed_for_one_call_is_checked_there():
    declared = task(unique=("account",))(send)

    with pytest.raises(ValueError, match="unique names 'nobody'"):
        declared.using(unique="{nobody}")


def test_the_context_is_no_argument_that_a_key_can_name():
    with pytest.raises(ValueError, match="unique names 'context'"):
        task(unique=("context",), takes_context=True)(send_from)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"queue_name": 7}, "queue_name is 7; it takes a text such as 'mail'."),
        ({"priority": "5"}, "priority is '5'; it takes a whole number from -100 to 100."),
        ({"backend": 5}, "backend is 5; it takes an alias of TASKS such as 'default'."),
        ({"metadata": {"a": object()}}, "The metadata cannot be stored as JSON"),
        (
            {"keep": {"failed": None}},
            "leave an outcome out to keep its results as the site does.",
        ),
    ],
)
def test_what_one_call_changes_is_checked_before_it_is_made(option: Any, told: str):
    with pytest.raises(TypeError) as refusal:
        tasks.add.using(**option)

    assert told in str(refusal.value)


def test_an_outcome_that_is_left_out_is_kept_as_the_site_says():
    made = task(keep={"failed": timedelta(days=90)})(send)

    assert made.options.keep == {"failed": timedelta(days=90)}


def test_what_retry_on_names_may_be_one_class_or_come_in_any_container():
    one = task(retry_on=OSError, discard_on=[KeyError])(send)
    none = task(retry_on=(), discard_on={KeyError})(send)

    assert (one.options.retry_on, one.options.discard_on) == ((OSError,), (KeyError,))
    assert (none.options.retry_on, none.options.discard_on) == ((), (KeyError,))


def test_an_async_function_cannot_be_transactional():
    with pytest.raises(TypeError, match="asend is async and cannot be transactional"):
        task(transactional=True)(asend)


@pytest.mark.parametrize(
    "option",
    ["backoff", "retry_on", "discard_on", "transactional", "at_most_once"],
)
def test_what_belongs_to_the_code_cannot_be_changed_for_one_call(option: str):
    with pytest.raises(
        TypeError, match=f"cannot change {option}: it belongs to the code"
    ):
        tasks.add.using(**{option: True})


def test_what_one_call_changes_is_not_changed_for_others():
    changed = tasks.add.using(
        metadata={"asked": "anna"}, timeout=timedelta(seconds=3), keep=timedelta(0)
    )

    assert changed.options.metadata == {"asked": "anna"}
    assert changed.options.timeout == timedelta(seconds=3)
    assert tasks.add.options.metadata == {}
    assert tasks.add.options.timeout is None


def test_a_task_with_mappings_for_options_has_a_hash_and_can_be_reduced():
    changed = tasks.add.using(
        metadata={"asked": ["anna"]}, keep={"succeeded": timedelta(days=1)}
    )

    again = copy.copy(changed)

    assert hash(changed) == hash(again)
    assert again == changed
    assert again.options.keep == {"succeeded": timedelta(days=1)}


def test_one_attempt_is_all_that_a_task_gets_that_must_not_be_repeated():
    once = task(at_most_once=True)(send)

    # The row may be older than the option.
    outcome = judge(ValueError(), once, result_of(tasks.nothing), max_attempts=5)

    assert isinstance(outcome, Failed)
    assert once.options.max_attempts == 1


def test_one_call_cannot_have_more_attempts_of_what_must_not_be_repeated():
    once = task(at_most_once=True)(send)

    with pytest.raises(ValueError, match="max_attempts is 2, and at_most_once allows"):
        once.using(max_attempts=2)


def test_only_what_retry_on_names_is_tried_again():
    declared = task(retry_on=(OSError,), discard_on=KeyError)(send)
    result = result_of(tasks.nothing)

    outcomes = [
        type(judge(error, declared, result))
        for error in (ConnectionResetError(), ValueError(), KeyError())
    ]

    assert outcomes == [Retry, Failed, Discarded]


def test_what_would_end_the_process_can_be_named_too():
    declared = task(retry_on=(SystemExit,))(send)

    outcome = judge(SystemExit(1), declared, result_of(tasks.nothing))

    assert isinstance(outcome, Retry)


def test_a_cancel_is_never_retried():
    declared = task(retry_on=(BaseException,))(send)

    outcome = judge(TaskCancelled(), declared, result_of(tasks.nothing))

    assert not isinstance(outcome, Retry)


def test_the_first_back_off_that_fits_decides():
    declared = task(
        backoff={
            ConnectionResetError: exponential(first=1, jitter=0),
            OSError: lambda error, task_result: None,
        }
    )(send)
    result = result_of(tasks.nothing)

    reset = judge(ConnectionResetError(), declared, result)
    other = judge(OSError(), declared, result)
    unnamed = judge(ValueError(), declared, result)

    assert isinstance(reset, Retry)
    assert reset.after == timedelta(seconds=1)
    assert isinstance(other, Failed)
    assert isinstance(unnamed, Retry)
    assert timedelta(seconds=4) < unnamed.after <= timedelta(seconds=5)


def test_options_can_be_compared_and_serve_as_keys():
    assert {TaskOptions(): 1}[TaskOptions()] == 1
