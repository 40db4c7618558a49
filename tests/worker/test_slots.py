"""The memory a child shares with its supervisor."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from errands.worker.slots import Slots


@pytest.fixture
def supervisors(tmp_path: Path) -> Iterator[Slots]:
    slots = Slots.create(tmp_path / "slots", threads=3)
    yield slots
    slots.close()


@pytest.fixture
def childs(supervisors: Slots) -> Iterator[Slots]:
    slots = Slots(supervisors.path)
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
