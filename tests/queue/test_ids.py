"""Ids are UUIDs in the order in which they were made."""

import time
from uuid import RFC_4122, UUID

from errands.queue.ids import new_ids, with_hyphens


def test_ids_are_uuids_of_version_seven():
    ids = new_ids(1000)

    read = [UUID(digits) for digits in ids]
    assert {(uuid.version, uuid.variant) for uuid in read} == {(7, RFC_4122)}
    assert len(set(read)) == 1000
    assert [uuid.hex for uuid in read] == ids


def test_they_begin_with_the_milliseconds_since_1970():
    before = time.time_ns() // 1_000_000

    (digits,) = new_ids(1)

    assert before <= int(digits[:12], 16) <= time.time_ns() // 1_000_000


def test_what_is_made_together_is_in_order():
    ids = new_ids(20_000)

    assert ids == sorted(ids)


def test_what_is_made_later_comes_later(monkeypatch):
    clock = iter([1_700_000_000_000_000_000, 1_700_000_000_000_001_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))

    (first,), (second,) = new_ids(1), new_ids(1)

    assert first[:12] == second[:12]
    assert first < second


def test_every_digit_that_may_be_random_is():
    by_place = zip(*new_ids(500), strict=True)

    seen = [len(set(digits)) for digits in by_place]

    assert seen[12] == 1
    assert seen[16] == 4
    assert seen[17:] == [16] * 15


def test_an_id_is_shown_as_python_shows_it():
    (digits,) = new_ids(1)

    assert with_hyphens(digits) == str(UUID(digits))
