"""The result of a running task, whose fields are made when somebody reads them."""

import copy
from dataclasses import fields

import pytest
from django.tasks import TaskResult, TaskResultStatus
from django.utils import timezone

from errands.queue.claims import Payload, Settlement
from errands.queue.looking.results import running_result
from errands.tasks.outcomes import Succeeded
from tests.testapp import tasks

pytestmark = pytest.mark.django_db


@pytest.fixture
def claim(worker):
    tasks.add.enqueue(41)
    return worker.claim()[0]


@pytest.fixture
def running(claim):
    call = Payload.parse(claim.payload)
    return running_result(tasks.add, claim, call, worker_name="anna", backend="default")


def read(result: TaskResult) -> dict[str, object]:
    return {field.name: getattr(result, field.name) for field in fields(TaskResult)}


def test_it_says_what_the_database_says(running, claim):
    stored = read(tasks.add.get_result(str(claim.uuid)))

    told = read(running)

    # A row knows its worker by id only, until the attempt has ended.
    assert len(stored.pop("worker_ids")) == 1
    assert told.pop("worker_ids") == ["anna"]
    assert told == stored


def test_what_was_said_before_the_first_question_is_not_forgotten(running, claim, store):
    now = timezone.now()
    settlement = Settlement(claim, Succeeded(42), now, now, "anna")

    store.backend.finished_result(running, settlement)

    assert running.id == str(claim.uuid)
    assert running.status == TaskResultStatus.SUCCESSFUL
    assert (running.finished_at, running.return_value) == (now, 42)


def test_an_error_told_once_stays(running):
    running.errors.append("told")

    assert running.errors == ["told"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_has_everything(running, copied):
    assert read(copied(running)) == read(running)
    assert copied(running) == running


def test_it_has_no_attributes_of_its_own_making(running):
    with pytest.raises(AttributeError, match="colour"):
        _ = running.colour

    assert not hasattr(running, "colour")
