"""Whatever a function does, an attempt ends in an outcome."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import Any
from uuid import uuid4

import pytest
from django.tasks import TaskResult, TaskResultStatus
from django.utils import translation

from errands import TaskCancelled, TaskInterrupted, current_context
from errands.exceptions import ReturnValueError
from errands.jobs.perform import task_of
from errands.tasks.attempt import judge, perform
from errands.tasks.context import TaskContext
from errands.tasks.interrupting import Control
from errands.tasks.outcomes import (
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Succeeded,
)
from tests.jobs.sample import Scripted
from tests.testapp import tasks


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def result_of(task: Any, *args: Any, attempts: int = 1) -> TaskResult:
    wire_args, wire_kwargs = task.encode_call(args, {})
    return TaskResult(
        task=task,
        id=str(uuid4()),
        status=TaskResultStatus.RUNNING,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=wire_args,
        kwargs=wire_kwargs,
        backend="default",
        errors=[],
        worker_ids=["worker"] * attempts,
    )


def context_of(
    task: Any, *args: Any, attempts: int = 1, control: Control | None = None
) -> TaskContext:
    task_result = result_of(task, *args, attempts=attempts)
    return TaskContext(task_result=task_result, control=control or Control())


def test_a_return_value_is_encoded():
    outcome = perform(tasks.add, context_of(tasks.add, 2))

    assert outcome == Succeeded(3)


def test_a_first_exception_is_retried_after_the_back_off():
    outcome = perform(tasks.fail, context_of(tasks.fail))

    assert isinstance(outcome, Retry)
    assert outcome.error.exception_class_path == "builtins.ValueError"
    assert "no luck" in outcome.error.traceback


def test_the_last_attempt_fails():
    outcome = perform(tasks.fail, context_of(tasks.fail, attempts=3))

    assert isinstance(outcome, Failed)


def test_a_call_may_ask_for_more_attempts_than_the_task():
    outcome = perform(tasks.fail, context_of(tasks.fail, attempts=3), max_attempts=4)

    assert isinstance(outcome, Retry)


def test_a_declared_exception_is_discarded():
    outcome = perform(tasks.discard, context_of(tasks.discard))

    assert isinstance(outcome, Discarded)


@pytest.mark.parametrize("task", [tasks.leave, tasks.interrupt_from_keyboard])
def test_what_would_end_the_process_fails_the_task_at_once(task):
    outcome = perform(task, context_of(task))

    assert isinstance(outcome, Failed)


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        ([OSError(), TimeoutError()], Retry),
        ([OSError(), ExceptionGroup("within", [OSError()])], Retry),
        ([OSError(), ValueError()], Failed),
        ([LookupError(), KeyError()], Discarded),
        ([LookupError(), OSError()], Failed),
        ([TaskCancelled()], Cancelled),
        ([TaskInterrupted()], Interrupted),
    ],
    ids=str,
)
def test_a_group_is_what_all_of_its_members_are(members, kind):
    task = tasks.nothing.using(max_attempts=3)
    task = replace(
        task,
        options=replace(task.options, retry_on=(OSError,), discard_on=(LookupError,)),
    )

    outcome = judge(BaseExceptionGroup("several", members), task, result_of(task))

    assert isinstance(outcome, kind)


def test_interruption_and_cancellation_are_no_failures():
    result = result_of(tasks.nothing)

    assert judge(TaskInterrupted(), tasks.nothing, result) == Interrupted()
    assert isinstance(judge(TaskCancelled(), tasks.nothing, result), Cancelled)


def test_what_asks_at_its_checkpoints_is_told_and_not_interrupted():
    task, control = replace(tasks.nothing, is_cooperative=True), Control()
    control.interrupt(TaskCancelled)

    outcome = perform(task, context_of(task, control=control))

    assert outcome == Succeeded(None)
    assert control.cancel_requested


def test_jobs_ask_at_their_checkpoints():
    assert task_of(Scripted).is_cooperative


@pytest.mark.parametrize(
    "exception",
    [Unprintable(), ValueError("\0\ud800"), ValueError("x" * 20_000_000)],
    ids=["unprintable", "nul-and-surrogate", "20-megabytes"],
)
def test_a_hostile_exception_becomes_a_bounded_storable_text(exception):
    outcome = judge(exception, tasks.nothing, result_of(tasks.nothing, attempts=3))

    assert isinstance(outcome, Failed)
    assert len(outcome.error.traceback) <= 32_768
    outcome.error.traceback.encode("utf-8")
    assert "\0" not in outcome.error.traceback


def test_exceptions_that_refer_to_each_other_in_a_circle_are_described():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    outcome = judge(first, tasks.nothing, result_of(tasks.nothing, attempts=3))

    assert isinstance(outcome, Failed)
    assert "first" in outcome.error.traceback


def judged_with(backoff: Any) -> Outcome:
    """What a first failure means for a task with this back-off."""
    task = replace(tasks.echo, options=replace(tasks.echo.options, backoff=backoff))
    return judge(ValueError(), task, result_of(task, 1))


@pytest.mark.parametrize(
    "accident", [RuntimeError("no idea"), SystemExit(3), KeyboardInterrupt(), None]
)
def test_a_broken_back_off_costs_no_attempt(accident: BaseException | None, caplog):
    def broken(exception: Exception, task_result: TaskResult) -> float:
        if accident is not None:
            raise accident
        return nan

    outcome = judged_with(broken)

    assert isinstance(outcome, Retry)
    assert outcome.after.total_seconds() == 60
    assert "backoff of task id=" in caplog.text


@pytest.mark.parametrize("returned", [timedelta(seconds=5), "5", nan], ids=repr)
def test_a_back_off_that_returns_no_seconds_is_told_what_it_returned(returned, caplog):
    outcome = judged_with(lambda exception, task_result: returned)

    assert isinstance(outcome, Retry)
    assert outcome.after == timedelta(seconds=60)
    assert "raised; the next attempt is in 60 s" in caplog.text
    assert (
        f"TypeError: The back-off returned {returned!r}; it returns seconds as a number, "
        "or None."
    ) in caplog.text


@pytest.mark.parametrize("seconds", [7, 7.0, Decimal(7), Fraction(7)])
def test_a_back_off_returns_any_kind_of_number(seconds: Any):
    outcome = judged_with(lambda exception, task_result: seconds)

    assert isinstance(outcome, Retry)
    assert outcome.after == timedelta(seconds=7)


@pytest.mark.parametrize("seconds", [1e12, 1e300, inf])
def test_a_back_off_beyond_the_calendar_ends_within_it(seconds: float):
    outcome = judged_with(lambda exception, task_result: seconds)

    assert isinstance(outcome, Retry)
    assert outcome.after == timedelta(days=3650)


def test_the_callers_language_and_time_zone_are_active():
    carried = {"language": "de", "time_zone": "Asia/Tokyo", "unheard-of": "x"}

    outcome = perform(
        tasks.language_and_zone,
        context_of(tasks.language_and_zone),
        carried=carried,
    )

    assert outcome == Succeeded(["de", "Asia/Tokyo"])
    assert translation.get_language() != "de"


def test_the_context_has_attempt_id_and_token():
    result = result_of(tasks.attempt_of, 10, attempts=2)

    outcome = perform(tasks.attempt_of, TaskContext(task_result=result, token=41))

    assert outcome == Succeeded([12, result.id, 41])
    assert current_context() is None


def test_a_value_that_cannot_be_carried_back_is_the_tasks_failure():
    context = TaskContext(task_result=result_of_plain({1, 2}))

    outcome = perform(tasks.plain, context, max_attempts=3)

    assert isinstance(outcome, Failed)
    assert outcome.error.exception_class_path == "builtins.TypeError"


def test_what_one_of_ours_returned_is_not_made_again_to_be_refused_again():
    context = context_of(tasks.return_nonsense)

    outcome = perform(tasks.return_nonsense, context, max_attempts=3)

    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error.exception, ReturnValueError)
    assert str(outcome.error.exception).startswith(
        "What tests.testapp.tasks.return_nonsense returned cannot be stored. The value"
    )


def result_of_plain(value: Any) -> TaskResult:
    result = result_of(tasks.nothing)
    object.__setattr__(result, "args", [value])
    object.__setattr__(result, "task", tasks.plain)
    return result
