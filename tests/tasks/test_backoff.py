"""Waiting times are numbers that can be proven."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errands import exponential
from errands.tasks.backoff import per_exception


def attempts(number: int) -> Any:
    return SimpleNamespace(attempts=number)


def test_waits_five_seconds_and_then_twice_as_long_each_time():
    exact = exponential(jitter=0)

    waits = [exact(ValueError(), attempts(number)) for number in range(1, 10)]

    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]


@given(number=st.integers(0, 10_000), jitter=st.floats(0, 1))
def test_jitter_only_ever_shortens_and_never_passes_the_cap(number, jitter):
    longest = exponential(jitter=0)(ValueError(), attempts(number))

    wait = exponential(jitter=jitter)(ValueError(), attempts(number))

    assert longest is not None
    assert wait is not None
    assert longest * (1 - jitter) * 0.999 <= wait <= longest <= 600


@pytest.mark.parametrize(
    "settings", [{"first": -1}, {"first": 700}, {"jitter": 2}, {"jitter": -0.1}]
)
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=r"required|share"):
        exponential(**settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"first": "5"}, "exponential(first='5'): first is seconds as a number, such"),
        ({"cap": None}, "exponential(cap=None): cap is seconds as a number, such as 600"),
        (
            {"first": timedelta(seconds=5)},
            "exponential(first=datetime.timedelta(seconds=5)): first is seconds as a",
        ),
        ({"jitter": "x"}, "exponential(jitter='x'): jitter is a share as a number, such"),
        ({"first": True}, "exponential(first=True): first is seconds as a number, such"),
    ],
)
def test_settings_that_are_no_numbers_are_refused_by_name(settings, told):
    with pytest.raises(TypeError) as refusal:
        exponential(**settings)

    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("raised", "wait"),
    [
        (TimeoutError(2), 1),
        (OSError(3), 3),
        (ExceptionGroup("several", [TimeoutError(2), TimeoutError(4)]), 1),
        (ExceptionGroup("several", [OSError(3), TimeoutError(2)]), 3),
        (ExceptionGroup("several", [OSError(3), ValueError()]), 5),
    ],
)
def test_the_first_class_that_fits_all_of_a_group_decides(raised, wait):
    by_class = per_exception(
        {
            TimeoutError: lambda error, result: 1,
            OSError: lambda error, result: error.args[0],
            Exception: exponential(jitter=0),
        }
    )

    assert by_class(raised, attempts(1)) == wait
