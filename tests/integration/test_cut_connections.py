"""Connections that are cut between two tasks cost neither of them an attempt."""

import json
from threading import Event

import pytest
from django.tasks import Task

from errands.queue.models import ResultRow
from errands.queue.states import ResultStatus
from errands.worker.connections import IDLE_SECONDS
from tests.integration.conftest import StartWorker
from tests.integration.processes import eventually
from tests.testapp import tasks
from tests.worker import cutting

KINDS = [tasks.connected, tasks.connected_as_coroutine]
ONE = ("--processes", "1", "--threads", "1")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def run(task: Task) -> ResultRow:
    """Enqueue a task and return what became of it."""
    result = task.enqueue()
    eventually(lambda: ResultRow.objects.filter(uuid=result.id).exists(), "it ran")
    return ResultRow.objects.get(uuid=result.id)


@pytest.mark.parametrize("task", KINDS, ids=lambda task: task.name)
def test_after_some_idle_seconds_the_next_task_succeeds_at_once(
    start_worker: StartWorker, task: Task
):
    start_worker(*ONE).is_ready()
    cutting.cut(json.loads(run(task).return_value or "0"))
    Event().wait(IDLE_SECONDS + 0.5)

    ended = run(task)

    assert (ended.status, ended.attempt) == (ResultStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("task", KINDS, ids=lambda task: task.name)
def test_after_a_restart_the_next_task_succeeds_at_once(
    start_worker: StartWorker, task: Task
):
    ours = set(cutting.others())
    start_worker(*ONE).is_ready()
    run(task)
    cutting.cut(*set(cutting.others()) - ours)

    ended = run(task)

    assert (ended.status, ended.attempt) == (ResultStatus.SUCCEEDED, 1)
