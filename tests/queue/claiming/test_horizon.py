"""Where claims begin while each of them takes long."""

from collections.abc import Callable
from math import inf
from uuid import uuid4

import pytest
from django.db import connection

from errands.queue.claiming.horizon import SLOW_IN_A_ROW, Horizon
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim
from errands.queue.statements.rows import ClaimFilter
from errands.queue.store import Store
from tests.testapp import tasks
from tests.worker.conftest import claim_of

ANY = ClaimFilter("anna", 10, None, -100, 100)


class Desk:
    """Claims one task after another, each as slowly as it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.seconds, self.seconds_behind = 0.05, 0.001
        self.asked: list[tuple[int, int]] = []
        self.horizon = Horizon(clock=lambda: self.now)

    def claim(self, *, finds: bool = True) -> list[Claim]:
        def take(wanted: ClaimFilter) -> list[Claim]:
            self.asked.append((wanted.min_rank, wanted.after_id))
            self.now += self.seconds_behind if wanted.after_id else self.seconds
            return [claim_of(len(self.asked))] if finds else []

        return self.horizon.claim(ANY, take)

    def claim_slowly(self) -> None:
        """Claim until the next one begins behind the last task, which is the fourth."""
        for _ in range(SLOW_IN_A_ROW):
            self.claim()
        self.asked.clear()


FRONT = (-100, 0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_quick_claims_begin_at_the_front(desk):
    desk.seconds = 0.002

    for _ in range(10):
        desk.claim()

    assert desk.asked == [FRONT] * 10


def test_after_four_slow_claims_the_next_begin_behind_the_last_task(desk):
    for _ in range(6):
        desk.claim()

    assert desk.asked == [FRONT] * 4 + [(0, 4), (0, 5)]


def test_a_quick_one_among_the_slow_begins_the_count_anew(desk):
    for seconds in (0.05, 0.05, 0.05, 0.001, 0.05, 0.05, 0.05, 0.05):
        desk.seconds = seconds
        desk.claim()

    assert desk.asked == [FRONT] * 8


def test_where_all_claims_are_slow_none_waits_for_long_behind_another(desk):
    desk.seconds_behind = 0.03
    for _ in range(13):
        desk.claim()

    behind = [(0, 4), (0, 5), (0, 6), (0, 7)]
    assert desk.asked == [*[FRONT] * 4, *behind, *[FRONT] * 4, (0, 12)]


def test_where_that_ends_somebody_soon_looks_at_what_was_left_out(desk):
    desk.claim_slowly()
    desk.seconds_behind = 0.03
    for _ in range(SLOW_IN_A_ROW):
        desk.claim(finds=False)

    before = desk.horizon.patience
    desk.claim(finds=False)
    after = desk.horizon.patience

    assert desk.asked == [*[(0, 4)] * 4, FRONT]
    assert (before, after) == (0.05, inf)


def test_a_slow_one_among_the_quick_costs_itself_alone(desk):
    desk.claim_slowly()

    for seconds in (0.03, 0.03, 0.03, 0.001) * 2:
        desk.seconds_behind = seconds
        desk.claim()

    assert FRONT not in desk.asked


def test_the_front_is_looked_at_again_after_19_times_as_long(desk):
    desk.seconds = 0.08
    desk.claim_slowly()

    desk.now += 1.51
    desk.claim()
    desk.now += 0.01
    desk.claim()

    assert desk.asked == [(0, 4), FRONT]


def test_the_front_waits_two_seconds_at_most(desk):
    desk.seconds = 5.0
    desk.claim_slowly()

    desk.now += 2.0
    desk.claim()

    assert desk.asked == [FRONT]


def test_an_empty_claim_keeps_the_place(desk):
    desk.claim_slowly()
    desk.claim(finds=False)
    desk.claim()

    assert desk.asked == [(0, 4), (0, 4)]


def test_the_front_rests_for_a_second_at_least(desk):
    desk.seconds = 0.005
    desk.claim_slowly()

    desk.now += 0.99
    desk.claim()
    desk.now += 0.01
    desk.claim()

    assert desk.asked == [(0, 4), FRONT]


def test_a_front_that_is_still_slow_rests_again_at_once(desk):
    desk.claim_slowly()
    desk.now += 1.0

    desk.claim()
    desk.claim()

    assert desk.asked == [FRONT, (0, 1)]


def test_it_says_when_to_look_from_the_front_again(desk):
    unhidden = desk.horizon.patience
    desk.seconds = 0.005
    desk.claim_slowly()

    at_once = desk.horizon.patience
    desk.now += 0.6
    later = desk.horizon.patience
    desk.now += 1.0
    overdue = desk.horizon.patience

    assert (unhidden, at_once) == (inf, 1.0)
    assert later == pytest.approx(0.4)
    assert overdue == 0.05


def test_a_queue_nobody_claims_from_any_more_is_soon_forgotten(desk):
    desk.seconds = 0.005
    desk.claim_slowly()

    desk.now += 4.0

    assert desk.horizon.patience == inf


def test_once_claims_are_quick_again_all_begin_at_the_front(desk):
    desk.claim_slowly()
    desk.now += 1.0
    desk.seconds = 0.001

    desk.claim()
    desk.claim()

    assert desk.asked == [FRONT] * 2


@pytest.fixture
def claimed_from() -> Callable[..., list[int]]:
    def claim(place: tuple[int, int]) -> list[int]:
        """Return the priorities of what lies behind a place."""
        wanted = ClaimFilter("anna", 10, None, place[0], 100, place[1])
        return [each.priority for each in Store("default")._claim(wanted)]

    return claim


@pytest.mark.django_db(transaction=True)
def test_behind_a_place_lies_what_is_younger_or_less_urgent(claimed_from):
    for priority in (10, 0, 0, -10):
        tasks.nothing.using(priority=priority).enqueue()
    store = Store("default")
    first, second = store.claim(uuid4(), Selection(), 2)
    store.release([first])

    found = claimed_from((0, second.id))

    behind = [0, -10]
    assert found == behind or not store.keeps_dead_entries
    assert store.keeps_dead_entries == (connection.vendor == "postgresql")
