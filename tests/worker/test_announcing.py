"""Whom the end of an attempt is told."""

from types import SimpleNamespace

import pytest

from errands.tasks.outcomes import AttemptError, Failed, Succeeded
from errands.worker.announcing import is_of_interest
from errands.worker.workplace import Attempted

FAILED = Failed(AttemptError.of(ValueError("no")))


def attempted(outcome: object, *, is_of_job: bool = False) -> Attempted:
    task = SimpleNamespace(is_cooperative=is_of_job)
    return Attempted(SimpleNamespace(outcome=outcome), SimpleNamespace(task=task))


@pytest.mark.parametrize("is_success_heard", [True, False])
def test_jobs_and_failures_are_told_in_any_case(is_success_heard):
    of_a_job = attempted(Succeeded(1), is_of_job=True)

    for each in (of_a_job, attempted(FAILED)):
        assert is_of_interest(each, is_success_heard=is_success_heard)


def test_any_other_success_is_told_where_somebody_hears_it():
    success = attempted(Succeeded(1))

    assert is_of_interest(success, is_success_heard=True)
    assert not is_of_interest(success, is_success_heard=False)


def test_what_no_task_was_found_for_is_told_nobody():
    unknown = Attempted(SimpleNamespace(outcome=FAILED), None)

    assert not is_of_interest(unknown, is_success_heard=True)
