"""Log records say which task they come from."""

import logging
from uuid import uuid4

import pytest
from django.tasks import TaskResult
from django.tasks.signals import task_finished
from django.utils import timezone

from errands.queue.looking.results import DatabaseTaskResult, New
from errands.reporting.logs import TaskFilter
from errands.tasks.context import TaskContext, attempting
from errands.tasks.signals import tell
from tests.testapp import tasks


def record() -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "shop", "msg": "hello"})
    TaskFilter().filter(made)
    return made


@pytest.fixture
def result() -> TaskResult:
    late = New(uuid4().hex, timezone.now(), "default")
    return DatabaseTaskResult.of(tasks.nothing, [], {}, late=late)


def test_a_record_made_in_a_task_names_it(result):
    with attempting(TaskContext(task_result=result)):
        made = record()

    assert made.task_id == result.id
    assert made.task_path == "tests.testapp.tasks.nothing"
    assert made.task_queue == "default"


def test_a_record_of_who_is_told_of_a_task_names_it(result):
    made = []

    def hear(**told: object) -> None:
        made.append(record())

    task_finished.connect(hear)
    tell(task_finished, object, task_result=result)
    task_finished.disconnect(hear)

    assert [each.task_id for each in [*made, record()]] == [result.id, ""]


def test_a_record_made_elsewhere_has_the_fields_empty():
    made = record()

    assert (made.task_id, made.task_path, made.task_attempt) == ("", "", 0)


def test_what_a_record_says_of_itself_is_kept():
    made = logging.makeLogRecord({"task_id": "mine"})

    assert TaskFilter().filter(made) is True
    assert made.task_id == "mine"
