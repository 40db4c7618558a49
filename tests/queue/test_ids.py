"""Ids are random UUIDs, however they are made."""

from uuid import RFC_4122, UUID

from errands.queue.ids import new_ids, with_hyphens


def test_ids_are_random_uuids_of_version_four():
    ids = new_ids(1000)

    read = [UUID(digits) for digits in ids]
    assert {(uuid.version, uuid.variant) for uuid in read} == {(4, RFC_4122)}
    assert len(set(read)) == 1000
    assert [uuid.hex for uuid in read] == ids


def test_every_digit_that_may_be_random_is():
    by_place = zip(*new_ids(500), strict=True)

    seen = [len(set(digits)) for digits in by_place]

    assert seen[12] == 1
    assert seen[16] == 4
    assert all(number == 16 for place, number in enumerate(seen) if place not in {12, 16})


def test_an_id_is_shown_as_python_shows_it():
    (digits,) = new_ids(1)

    assert with_hyphens(digits) == str(UUID(digits))
