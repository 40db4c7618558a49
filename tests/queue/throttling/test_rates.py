"""How often tasks of a key may start."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errands.queue.throttling import rates
from errands.queue.throttling.rates import KEY, Bucket, forget_drained, take
from errands.sidecar import sidecar
from errands.tasks.rates import Rate

SECOND = 1_000_000


@pytest.fixture(autouse=True)
def no_rates(transactional_db: None) -> None:
    sidecar().update("DELETE FROM errands_rate")


def test_a_burst_starts_and_the_rest_is_spread_over_time():
    rate = Rate.parse("3/h")

    waits = [take("default", "partner", rate) for _ in range(6)]

    assert waits[:3] == [None] * 3
    minutes = [round(wait / timedelta(minutes=1)) for wait in waits[3:]]
    assert minutes == [20, 40, 60]


def test_keys_do_not_know_each_other():
    rate = Rate.parse("1/h")

    first, other, again = (take("default", key, rate) for key in ("a", "b", "a"))

    assert (first, other) == (None, None)
    assert again is not None


def test_many_at_once_get_no_more_than_the_burst():
    rate = Rate.parse("10/d")

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: take("default", "partner", rate), range(60)))

    assert waits.count(None) == 10


def test_those_who_wait_beyond_what_can_be_promised_ask_again_at_random():
    rate = Rate.parse("1/s")

    waits = [take("default", "partner", rate) for _ in range(400)]

    longest = rates.LONGEST_WAIT
    beyond = [wait for wait in waits[1:] if wait and wait >= longest / 2][-50:]
    assert max(wait for wait in waits[1:] if wait) <= longest
    assert len(set(beyond)) > 25


def test_what_has_drained_is_forgotten_and_what_has_not_is_kept():
    take("default", "slow", Rate.parse("1/d"))
    take("default", "old", Rate.parse("1/s"))
    side = sidecar()
    side.update(f"UPDATE errands_rate SET free_at = 1 WHERE {KEY[side.vendor]} = 'old'")

    assert forget_drained("default") == 1
    assert take("default", "slow", Rate.parse("1/d")) is not None


@given(
    count=st.integers(1, 50),
    steps=st.lists(st.integers(0, 20 * SECOND), min_size=1, max_size=200),
)
def test_never_more_than_two_bursts_start_within_any_period(count, steps):
    rate, bucket, now, started = (
        Rate(count, timedelta(seconds=60)),
        Bucket(0, 0),
        10**15,
        [],
    )

    for step in steps:
        now += step
        bucket, wait = bucket.asked(rate, now=now)
        if not wait:
            started.append(now)

    for first in started:
        within = [at for at in started if first <= at < first + 60 * SECOND]
        assert len(within) <= 2 * count


@given(count=st.integers(1, 50), seconds=st.sampled_from([1, 60, 3600, 86_400]))
def test_as_many_as_are_named_start_at_once(count, seconds):
    rate, now = Rate(count, timedelta(seconds=seconds)), 10**15
    bucket, waits = Bucket(0, 0), []

    for _ in range(count + 1):
        bucket, wait = bucket.asked(rate, now=now)
        waits.append(wait)

    assert waits[:-1] == [0] * count
    assert waits[-1]


def test_the_first_who_waits_is_told_when_the_next_may_start():
    rate, now, hour = Rate.parse("1/d"), 10**15, 3600 * SECOND
    bucket, _ = Bucket(0, 0).asked(rate, now=now)

    bucket, first = bucket.asked(rate, now=now + 23 * hour)
    _, second = bucket.asked(rate, now=now + 23 * hour)

    assert (first, second) == (hour, 25 * hour)


@given(waiting=st.integers(1, 120))
def test_who_comes_back_when_told_may_start(waiting):
    rate, now = Rate(2, timedelta(seconds=1)), 10**15
    bucket, told = Bucket(0, 0), []
    for _ in range(waiting + 2):
        bucket, wait = bucket.asked(rate, now=now)
        told.append(now + wait)

    for at in told[2:]:
        bucket, wait = bucket.asked(rate, now=at)
        assert not wait
