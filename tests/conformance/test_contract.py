"""What Django's own tests ask of a tasks backend."""

import logging
import pickle  # noqa: TID251 - Django's tests pickle tasks and results
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.tasks import Task, TaskResultStatus, task, task_backends
from django.tasks.exceptions import (
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)
from django.test import override_settings
from django.utils import timezone

from tests.conformance import tasks
from tests.conformance.conftest import configured

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]
every = pytest.mark.parametrize("kind", ["queue", "immediate", "dummy"], indirect=True)
running = pytest.mark.parametrize("kind", ["queue", "immediate"], indirect=True)
stored = pytest.mark.parametrize("kind", ["queue", "dummy"], indirect=True)
queue = pytest.mark.parametrize("kind", ["queue"], indirect=True)


def finished(result, run_all):
    """Return the result once its task has run."""
    run_all()
    if task_backends["default"].supports_get_result:
        result.refresh()
    return result


@every
@pytest.mark.parametrize("name", ["noop_task", "noop_task_async"])
def test_enqueues_functions_and_coroutines(kind, name):
    result = getattr(tasks, name).enqueue((1, "x"))

    assert result.task == getattr(tasks, name)
    assert result.args == [[1, "x"]]
    assert result.kwargs == {}
    assert result.enqueued_at is not None
    assert result.id


@every
async def test_enqueues_from_async_code(kind):
    result = await tasks.noop_task.aenqueue(1, key="value")

    assert (result.args, result.kwargs) == ([1], {"key": "value"})


@every
def test_refuses_arguments_that_are_no_json(kind):
    with pytest.raises(TypeError, match="Unsupported type"):
        tasks.noop_task.enqueue(object())


@every
def test_validates_a_task_when_it_is_made(kind):
    with pytest.raises(InvalidTask, match="Queue 'unknown' is not valid for backend"):
        tasks.noop_task.using(queue_name="unknown")
    for priority in (-101, 101, 3.1):
        with pytest.raises(InvalidTask, match="priority must be a whole number"):
            tasks.noop_task.using(priority=priority)
    with pytest.raises(InvalidTask, match="module level"):
        task(lambda: None)


@every
def test_validates_a_task_again_when_it_is_enqueued(kind):
    on_queue = tasks.noop_task.using(queue_name="queue-1")
    narrower = configured(kind)
    narrower["default"]["QUEUES"] = ["default"]

    with override_settings(TASKS=narrower), pytest.raises(InvalidTask):
        on_queue.enqueue()


@every
async def test_validates_a_task_again_when_it_is_enqueued_from_async_code(kind):
    on_queue = tasks.noop_task.using(queue_name="queue-1")
    narrower = configured(kind)
    narrower["default"]["QUEUES"] = ["default"]

    with override_settings(TASKS=narrower), pytest.raises(InvalidTask):
        await on_queue.aenqueue()


@stored
def test_a_naive_run_after_is_refused(kind):
    with pytest.raises(InvalidTask, match="aware"):
        tasks.noop_task.using(run_after=timezone.now().replace(tzinfo=None))


@every
def test_run_after_is_no_argument_of_the_decorator(kind):
    with pytest.raises(TypeError, match="run_after cannot be defined statically"):
        task(run_after=timezone.now())(tasks.noop_task.func)


@every
def test_the_context_must_be_the_first_argument(kind):
    with pytest.raises(InvalidTask, match="first argument of 'context'"):
        task(takes_context=True)(tasks.calculate_meaning_of_life.func)


@running
def test_a_finished_task_has_its_value_and_ordered_timestamps(kind, run_all):
    result = finished(tasks.calculate_meaning_of_life.enqueue(), run_all)

    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 42
    assert result.is_finished
    assert result.attempts == 1
    assert len(result.worker_ids) == 1
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.last_attempted_at <= result.finished_at
    assert result.errors == []


@running
@pytest.mark.parametrize(
    ("name", "exception"),
    [("failing_task_value_error", ValueError), ("failing_task_system_exit", SystemExit)],
)
def test_a_failed_task_keeps_its_exception(kind, run_all, name, exception):
    result = finished(getattr(tasks, name).enqueue(), run_all)

    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is exception
    assert f"due to {exception.__name__}" in result.errors[0].traceback
    assert result.attempts == 1
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value


@running
def test_an_exception_json_cannot_hold_is_kept_as_text(kind, run_all):
    result = finished(tasks.complex_exception.enqueue(), run_all)

    assert result.errors[0].exception_class is ValueError
    assert "(ValueError('This task failed')" in result.errors[0].traceback


@running
def test_a_return_value_json_cannot_hold_fails_the_task(kind, run_all):
    result = finished(tasks.complex_return_value.enqueue(), run_all)

    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is TypeError
    assert "Unsupported type" in result.errors[0].traceback


@stored
def test_an_unfinished_task_has_no_value(kind):
    result = tasks.calculate_meaning_of_life.enqueue()

    assert result.status == TaskResultStatus.READY
    assert not result.is_finished
    with pytest.raises(ValueError, match="Task has not finished yet"):
        _ = result.return_value


@stored
def test_reads_a_result_back(kind):
    result = tasks.noop_task.enqueue(1)

    assert tasks.noop_task.get_result(result.id) == result


@stored
async def test_reads_a_result_back_from_async_code(kind):
    result = await tasks.noop_task.aenqueue(1)

    assert await tasks.noop_task.aget_result(result.id) == result


@stored
def test_an_unknown_result_does_not_exist(kind):
    with pytest.raises(TaskResultDoesNotExist):
        tasks.noop_task.get_result("123")


@stored
async def test_an_unknown_result_does_not_exist_from_async_code(kind):
    with pytest.raises(TaskResultDoesNotExist):
        await tasks.noop_task.aget_result("123")


@stored
def test_a_result_of_another_task_is_a_mismatch(kind):
    result = tasks.noop_task.enqueue()

    with pytest.raises(TaskResultMismatch, match="noop_task"):
        tasks.calculate_meaning_of_life.get_result(result.id)


@queue
def test_refreshing_reads_the_latest_state_and_again_nothing(kind, run_all):
    result = tasks.calculate_meaning_of_life.enqueue()
    run_all()
    before = result.status

    result.refresh()
    first = (result.status, result.return_value, result.finished_at)
    result.refresh()

    assert before == TaskResultStatus.READY
    assert first == (result.status, result.return_value, result.finished_at)


@queue
async def test_refreshes_from_async_code(kind):
    result = await tasks.noop_task.aenqueue()

    await result.arefresh()

    assert result.status == TaskResultStatus.READY


@running
def test_the_context_has_id_and_attempt(kind, run_all):
    with_id = finished(tasks.get_task_id.enqueue(), run_all)
    first = finished(tasks.attempt_number.enqueue(), run_all)
    passed_on = finished(tasks.attempt_number.enqueue(attempt=1), run_all)

    assert with_id.return_value == with_id.id
    assert first.return_value == 1
    assert passed_on.return_value == 1


@every
def test_using_changes_a_copy(kind):
    changed = tasks.noop_task.using(priority=10).using(queue_name="queue-1")

    assert (changed.priority, changed.queue_name) == (10, "queue-1")
    assert tasks.noop_task.priority == 0
    assert tasks.noop_task.using() == tasks.noop_task
    assert tasks.noop_task.using() is not tasks.noop_task


@every
def test_tasks_and_results_survive_pickling(kind):
    result = tasks.noop_task.enqueue(1)

    assert pickle.loads(pickle.dumps(tasks.noop_task)) == tasks.noop_task  # noqa: S301
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301


@running
def test_logs_three_lines(kind, run_all, caplog):
    caplog.set_level(logging.DEBUG, logger="django.tasks")

    result = finished(tasks.noop_task.enqueue(), run_all)

    messages = [r.getMessage() for r in caplog.records if r.name == "django.tasks"]
    path = "tests.conformance.tasks.noop_task"
    assert messages == [
        f"Task id={result.id} path={path} enqueued backend=default",
        f"Task id={result.id} path={path} state=RUNNING",
        f"Task id={result.id} path={path} state=SUCCESSFUL",
    ]


@running
def test_logs_a_failure_with_its_exception(kind, run_all, caplog):
    finished(tasks.failing_task_value_error.enqueue(), run_all)

    last = [record for record in caplog.records if record.name == "django.tasks"][-1]
    assert last.levelname == "ERROR"
    assert "state=FAILED" in last.getMessage()
    assert last.exc_info[0] is ValueError


@running
def test_a_task_that_changes_its_argument_changes_nobody_elses(kind, run_all):
    values = [1]

    result = finished(tasks.mutate.enqueue(values), run_all)

    assert values == [1]
    assert result.return_value == [1, 99]


@queue
def test_claims_by_priority(kind, run_all):
    low = tasks.noop_task.using(priority=-1).enqueue()
    high = tasks.noop_task.using(priority=1).enqueue()

    low, high = finished(low, run_all), finished(high, run_all)

    assert high.started_at <= low.started_at


@queue
def test_a_deferred_task_waits(kind, run_all):
    later = tasks.noop_task.using(run_after=timezone.now() + timedelta(hours=1))

    result = finished(later.enqueue(), run_all)

    assert result.status == TaskResultStatus.READY
    assert result.task.run_after == later.run_after


@queue
def test_checks_find_nothing_wrong(kind):
    assert list(task_backends["default"].check()) == []


def test_an_unknown_backend_is_an_error():
    with (
        override_settings(TASKS={"default": {"BACKEND": "does.not.exist"}}),
        pytest.raises(InvalidTaskBackend, match="Could not find backend"),
    ):
        _ = task_backends["default"]
    with pytest.raises((InvalidTaskBackend, ImproperlyConfigured)):
        _ = task_backends["missing"]


@queue
def test_any_queue_is_valid_without_queues(kind):
    without = configured(kind)
    del without["default"]["QUEUES"]

    with override_settings(TASKS=without):
        made = tasks.noop_task.using(queue_name="whatever")

    assert isinstance(made, Task)
