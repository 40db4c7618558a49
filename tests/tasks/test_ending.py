"""What the log says of attempts that raised, and of ends that are no failures."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished

from errands import TaskCancelled
from errands.tasks.signals import task_retrying, tell
from tests.tasks.test_attempt import result_of
from tests.testapp import tasks


def told(result, *, raising: bool = True) -> None:
    """Tell receivers of an attempt that will be followed by another."""
    try:
        if raising:
            raise OSError("no route to the partner")
    except OSError:
        tell(task_retrying, object, task_result=result, after=timedelta(seconds=5.25))
    else:
        tell(task_retrying, object, task_result=result, after=timedelta(seconds=5.25))


@pytest.mark.parametrize("raising", [True, False], ids=["raised", "killed"])
def test_an_attempt_that_will_be_followed_by_another_is_logged(caplog, raising):
    result = result_of(tasks.add, 1, attempts=2)

    told(result, raising=raising)

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("errands.tasks", "WARNING")
    assert record.getMessage() == (
        f"Task id={result.id} path=tests.testapp.tasks.add: attempt 2 failed, the next "
        "one is in 5.2 s"
    )
    assert ("no route to the partner" in caplog.text) is raising


def test_what_was_cancelled_is_logged_as_that_and_not_as_failed(caplog):
    caplog.set_level("INFO", "django.tasks")
    result = replace(result_of(tasks.add, 1), status=TaskResultStatus.FAILED)

    try:
        raise TaskCancelled
    except TaskCancelled:
        tell(task_finished, object, task_result=result)

    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == (
        f"Task id={result.id} path=tests.testapp.tasks.add state=FAILED: cancelled or "
        "discarded"
    )


def test_an_attempt_at_a_job_is_logged_by_the_job_alone(caplog):
    told(result_of(replace(tasks.add, is_cooperative=True), 1))

    assert caplog.records == []
