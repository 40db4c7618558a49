"""The memory a child shares with its supervisor."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from errands.worker.slots import Slots


@pytest.fixture
def supervisors(tmp_path: Path) -> Iterator[Slots]:
    slots = Slots.create(tmp_path / "slots", places=3)
    yield slots
    slots.close()


@pytest.fixture
def childs(supervisors: Slots) -> Iterator[Slots]:
    slots = Slots.open(supervisors.path)
    yield slots
    slots.close()


def test_the_supervisor_reads_what_the_child_wrote(supervisors: Slots, childs: Slots):
    largest_id = 2**63 - 1

    childs.start(0, 17)
    childs.start(2, largest_id)
    childs.count(succeeded=2)
    childs.count(succeeded=1, failed=4)
    childs.say_ready()

    assert supervisors.started == {17, largest_id}
    assert (supervisors.succeeded, supervisors.failed) == (3, 4)
    assert supervisors.is_ready


def test_a_thread_names_the_task_it_started_last(supervisors: Slots, childs: Slots):
    childs.start(1, 17)
    childs.start(1, 18)

    assert supervisors.started == {18}


def test_a_task_that_was_given_back_before_its_first_line_is_not_named(
    supervisors: Slots, childs: Slots
):
    childs.start(0, 17)
    childs.start(1, 18)

    childs.clear(0)

    assert supervisors.started == {18}


def test_an_id_survives_the_way_through_two_words(supervisors: Slots, childs: Slots):
    fresh = uuid4()

    childs.identify(fresh)

    assert supervisors.worker_id == fresh


def test_the_next_child_finds_a_clean_place_and_the_counts_of_all(supervisors: Slots):
    supervisors.start(0, 17)
    supervisors.count(succeeded=5)
    supervisors.say_ready()
    fresh = uuid4()

    supervisors.prepare(fresh)

    assert supervisors.started == set()
    assert not supervisors.is_ready
    assert supervisors.worker_id == fresh
    assert supervisors.succeeded == 5


def test_a_task_is_overdue_from_its_deadline_until_its_attempt_ends(
    supervisors: Slots, childs: Slots
):
    childs.start(0, 17)
    childs.limit(0, 1_000)
    childs.start(1, 18)

    assert supervisors.overdue(999) == set()
    assert supervisors.overdue(1_000) == {17}
    childs.free(0)
    assert supervisors.overdue(1_000) == set()
    assert supervisors.started == {17, 18}


def test_the_next_task_of_a_place_inherits_no_deadline(supervisors: Slots, childs: Slots):
    childs.start(2, 17)
    childs.limit(2, 1)

    childs.start(2, 18)

    assert supervisors.overdue() == set()


def test_deadlines_are_instants_of_the_monotonic_clock(supervisors: Slots, childs: Slots):
    childs.start(2, 17)
    childs.limit(2, time.monotonic_ns())

    assert supervisors.overdue() == {17}


def test_a_child_that_leaves_stays_ready_until_the_next_one(
    supervisors: Slots, childs: Slots
):
    childs.say_ready()
    childs.say_leaving()
    childs.say_ready()

    assert supervisors.is_leaving
    assert supervisors.is_ready
    supervisors.prepare(uuid4())
    assert not supervisors.is_leaving


def test_a_process_without_supervisor_has_words_of_its_own():
    slots = Slots.private(places=1)

    slots.start(0, 17)

    assert slots.started == {17}
    slots.close()


def test_a_file_that_somebody_deleted_is_made_anew_for_the_next_child(
    supervisors: Slots, childs: Slots
):
    childs.count(succeeded=2)
    supervisors.path.unlink()
    worker_id = uuid4()

    supervisors.prepare(worker_id)
    next_ones = Slots.open(supervisors.path)
    next_ones.count(succeeded=1)

    assert next_ones.worker_id == worker_id
    assert supervisors.succeeded == 3
    next_ones.close()


def test_a_file_made_elsewhere_is_deleted_in_the_end(tmp_path: Path):
    slots = Slots.create(tmp_path / "deleted" / "slots", places=3)

    slots.start(2, 17)

    assert slots.started == {17}
    assert slots.path is not None
    assert slots.path.exists()
    slots.close()
    assert not slots.path.exists()


def test_where_the_temporary_directory_is_deleted_as_well_another_is_taken(
    supervisors: Slots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    deleted = tmp_path / "deleted"
    deleted.mkdir()
    monkeypatch.setenv("TMPDIR", str(deleted))
    monkeypatch.setattr(tempfile, "tempdir", str(deleted))
    deleted.rmdir()
    supervisors.path.unlink()

    supervisors.prepare(uuid4())

    assert supervisors.path.exists()
    assert supervisors.path.parent != deleted
