"""Tasks that were running when a process died."""

from dataclasses import replace

import pytest

from errands.exceptions import TaskCrashed, WorkerLost
from errands.queue.claims import Claim
from errands.tasks.outcomes import AttemptError
from tests.worker.conftest import claim_of


def crashed(claim: Claim, *errors: Exception) -> Claim:
    stored = [AttemptError.of(error) for error in errors]
    return replace(
        claim,
        crashes=1,
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
        ([KILLED, RAISED], False),
    ],
    ids=["killed", "killed at last", "lost host", "lived on and raised"],
)
def test_a_suspect_is_what_ran_last_in_a_process_that_died(errors, expected):
    assert crashed(claim_of(1), *errors).is_suspect is expected


def test_a_task_that_never_crashed_is_no_suspect():
    assert not claim_of(1).is_suspect


def test_a_process_runs_one_suspect_at_a_time_beside_others(
    workplace, remembering, courier_round
):
    first, second = (crashed(claim_of(number), KILLED) for number in (1, 2))
    remembering.ready = [first, second]

    courier_round()
    running = workplace.inbox.get_nowait()
    remembering.ready = [claim_of(3)]
    courier_round()
    beside = workplace.inbox.get_nowait()

    assert (running.id, beside.id) == (1, 3)
    assert [each.claim.id for each in remembering.settled] == [2]


def test_a_burst_does_not_end_while_a_suspect_waits_for_its_turn(
    remembering, courier_round, courier
):
    remembering.ready = [crashed(claim_of(number), KILLED) for number in (1, 2)]
    courier_round()

    courier._in_hand.clear()
    courier_round()

    assert remembering.ready == []
    assert not courier._is_done
