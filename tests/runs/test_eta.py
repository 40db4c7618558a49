"""When a run will have ended, and when that is better left unsaid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errands.runs.eta import Pace, describe_seconds_left, seconds_left


def pace_of(*observations: tuple[float, int]) -> Pace:
    """Return a pace that has seen counts at instants."""
    pace = Pace()
    for now, current in observations:
        pace.observe(now, current)
    return pace


def test_a_steady_pace_is_told() -> None:
    pace = pace_of((0, 0), (2, 20), (4, 40), (6, 60))

    assert pace.rate == pytest.approx(10)


def test_nothing_is_told_before_five_seconds() -> None:
    pace = pace_of((0, 0), (1, 10), (2, 20), (3, 30), (4.9, 49))

    assert pace.rate is None


def test_nothing_is_told_before_three_updates() -> None:
    pace = pace_of((0, 0), (60, 600), (120, 1200))

    assert pace.rate is None


def test_what_a_former_attempt_had_done_is_no_pace() -> None:
    pace = pace_of((0, 1_000_000), (2, 1_000_020), (4, 1_000_040), (6, 1_000_060))

    assert pace.rate == pytest.approx(10)


def test_a_new_pace_counts_more_than_an_old_one() -> None:
    steady = [(second, second * 10) for second in range(0, 61, 5)]

    pace = pace_of(*steady, (90, 600))

    assert pace.rate == pytest.approx(10 * 0.5, rel=0.2)


def test_a_job_that_stands_still_from_the_start_has_no_pace() -> None:
    pace = pace_of((0, 0), (5, 0), (10, 0), (15, 0))

    assert pace.rate is None


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.integers(0, 10**12)), min_size=1, max_size=30
    )
)
def test_a_pace_is_finite_whatever_is_observed(
    observations: list[tuple[float, int]],
) -> None:
    rate = pace_of(*sorted(observations)).rate

    assert rate is None or 0 < rate < float("inf")


@pytest.mark.parametrize(
    ("current", "total", "rate"),
    [(5, None, 1.0), (5, 10, None), (5, 10, 0.0), (10, 10, 1.0), (11, 10, 1.0)],
)
def test_nobody_can_say_without_total_rate_or_rest(
    current: int, total: int | None, rate: float | None
) -> None:
    assert seconds_left(current=current, total=total, rate=rate) is None


def test_seconds_left_are_rounded_up() -> None:
    assert seconds_left(current=5, total=10, rate=3.0) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (1, "a few seconds left"),
        (9, "a few seconds left"),
        (10, "about 10 seconds left"),
        (41, "about 50 seconds left"),
        (51, "about 1 minute left"),
        (120, "about 2 minutes left"),
        (59 * 60 + 29, "about 59 minutes left"),
        (59 * 60 + 31, "about 1 hour left"),
        (47 * 3600, "about 47 hours left"),
        (72 * 3600, "about 3 days left"),
    ],
)
def test_the_time_left_is_a_rounded_phrase(seconds: int | None, text: str) -> None:
    assert describe_seconds_left(seconds) == text
