"""How much is claimed ahead."""

import pytest

from errands.worker.pace import Pace


def pace_of(seconds: float, *, threads: int = 5) -> Pace:
    pace = Pace(threads)
    pace.note(seconds, attempts=1000)
    return pace


def test_nothing_is_claimed_ahead_before_anything_came_back():
    assert Pace(5).ahead == 0


@pytest.mark.parametrize(
    ("seconds", "ahead"),
    [(0.000_01, 3000), (0.0005, 2000), (0.001, 1000), (0.01, 100)],
)
def test_ahead_is_what_five_threads_do_in_a_fifth_of_a_second(seconds, ahead):
    assert pace_of(seconds).ahead == ahead


@pytest.mark.parametrize(
    ("seconds", "ahead"), [(0.0101, 5), (0.02, 5), (0.05, 5), (0.0501, 0), (60, 0)]
)
def test_of_slower_tasks_one_waits_for_each_thread_and_of_slow_ones_none(seconds, ahead):
    assert pace_of(seconds).ahead == ahead


def test_an_attempt_that_took_no_time_at_all_is_no_division_by_zero():
    assert pace_of(0.0).ahead == 3000


@pytest.mark.parametrize(("attempts", "ahead"), [(1, 20), (5, 100), (1000, 3000)])
def test_few_attempts_say_little(attempts, ahead):
    pace = Pace(5)

    pace.note(0.000_01, attempts=attempts)

    assert pace.ahead == ahead


def test_a_forgotten_pace_begins_with_few_again():
    pace = pace_of(0.000_01)

    pace.forget()
    pace.note(0.000_01)

    assert pace.ahead == 20


def test_one_slow_attempt_among_quick_ones_ends_claiming_far_ahead_for_a_while():
    pace = pace_of(0.001)

    pace.note(1.0)
    after_one = pace.ahead
    for _ in range(200):
        pace.note(0.001)

    assert after_one == 5
    assert pace.ahead > 100


def test_those_that_came_back_together_weigh_as_much_as_one_by_one():
    together, one_by_one = pace_of(0.001), pace_of(0.001)

    together.note(0.004, attempts=30)
    for _ in range(30):
        one_by_one.note(0.004)

    assert together.ahead == one_by_one.ahead


def test_a_forgotten_pace_claims_nothing_ahead():
    pace = pace_of(0.001)

    pace.forget()

    assert pace.ahead == 0
