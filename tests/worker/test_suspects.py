"""Tasks that were running when a process died."""

import pytest

from errands.exceptions import TaskCrashed, WorkerLost
from errands.queue.claims import Claim
from errands.queue.models import TaskRow
from errands.queue.states import TaskState
from errands.queue.writing import deciding
from errands.tasks.outcomes import AttemptError
from errands.worker.upkeep import Upkeep
from tests.testapp import tasks
from tests.worker.conftest import claim_of


def crashed(claim: Claim, *errors: Exception) -> Claim:
    stored = [AttemptError.of(error) for error in errors]
    return claim._replace(
        crashes=sum(isinstance(error, TaskCrashed) for error in errors),
        errors=[
            {
                "exception_class_path": error.exception_class_path,
                "traceback": error.traceback,
            }
            for error in stored
        ],
    )


KILLED = TaskCrashed("Worker anna: killed by signal 9 (SIGKILL)")
LOST = WorkerLost("Worker anna was lost.")
RAISED = ValueError("no luck")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([KILLED], True),
        ([RAISED, KILLED], True),
        ([LOST], False),
        ([LOST, LOST], True),
        ([KILLED, LOST], True),
        ([LOST, RAISED], False),
        ([KILLED, RAISED], False),
    ],
    ids=[
        "killed",
        "killed at last",
        "lost host",
        "lost again",
        "killed and lost",
        "lost and raised",
        "lived on and raised",
    ],
)
def test_a_suspect_is_what_ran_last_in_a_process_that_died(errors, expected):
    assert crashed(claim_of(1), *errors).is_suspect is expected


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ([], TaskState.READY),
        ([RAISED], TaskState.READY),
        ([LOST], TaskState.SUSPECT),
        ([KILLED], TaskState.SUSPECT),
        ([LOST, RAISED], TaskState.READY),
    ],
    ids=["the first time", "after an exception", "again", "after a kill", "raised since"],
)
def test_what_is_lost_again_runs_alone_for_it_may_hold_up_its_worker(errors, state):
    claim = crashed(claim_of(1), *errors)

    record = deciding.crashed(claim, LOST, worker_name="anna")

    assert record.state == state


def test_a_task_that_never_crashed_is_no_suspect():
    assert not claim_of(1).is_suspect


def test_upkeep_tells_the_supervisor_of_suspects_that_somebody_left(real_workplace):
    upkeep = Upkeep(real_workplace)
    upkeep.keep_up()
    before = real_workplace.slots.reports
    tasks.nothing.enqueue()
    TaskRow.objects.update(state=TaskState.SUSPECT)
    upkeep._sweep_at = 0.0

    upkeep.keep_up()

    assert (before, real_workplace.slots.reports) == (0, 1)
