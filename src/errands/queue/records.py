"""From an outcome to what is written: pure functions, no SQL.

A claimed row is left in one of two ways. A ``Finish`` moves it to the results;
a ``Requeue`` makes it live again. Both name the token they were decided under.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from errands.conf import settings
from errands.exceptions import ResultError, TaskCrashed
from errands.queue.claims import Claim, Settlement
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Retry,
    Snoozed,
    Succeeded,
)

ERRORS_KEPT = 50
WORKERS_KEPT = 100

STATUSES = {
    Failed: ResultStatus.FAILED,
    Discarded: ResultStatus.DISCARDED,
    Cancelled: ResultStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Finish:
    """A live row becomes a result."""

    id: int
    token: int
    status: int
    attempt: int
    crashes: int
    errors: str
    worker_ids: str
    return_value: str | None
    started_at: datetime | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Requeue:
    """A claimed row becomes claimable again, at once or when due."""

    id: int
    token: int
    state: int
    run_at: datetime | None
    attempt: int
    crashes: int
    releases: int
    errors: str
    worker_ids: str
    started_at: datetime | None


type Record = Finish | Requeue


def record_of(settlement: Settlement) -> Record:
    """Return what a settlement writes."""
    claim, outcome = settlement.claim, settlement.outcome
    match outcome:
        case Succeeded(return_value):
            return _finish(
                claim,
                ResultStatus.SUCCEEDED,
                worker_ids=_workers(claim, settlement.worker_name),
                return_value=json.dumps(return_value),
                started_at=claim.started_at or settlement.started_at,
                finished_at=settlement.finished_at,
            )
        case Failed(error) | Discarded(error) | Cancelled(error):
            return _finish(
                claim,
                STATUSES[type(outcome)],
                errors=_errors(claim, error),
                worker_ids=_workers(claim, settlement.worker_name),
                started_at=claim.started_at or settlement.started_at,
                finished_at=settlement.finished_at,
            )
        case Retry(after, error):
            return _requeue(
                claim,
                state=TaskState.SCHEDULED,
                run_at=settlement.finished_at + after,
                errors=_errors(claim, error),
                worker_ids=_workers(claim, settlement.worker_name),
                started_at=claim.started_at or settlement.started_at,
            )
        case Snoozed(after):
            return released(claim, due_at=settlement.finished_at + after)
        case Interrupted():
            return interrupted(claim, worker_name=settlement.worker_name)


def released(claim: Claim, *, due_at: datetime | None = None) -> Requeue:
    """Return what giving back an unstarted claim writes: it costs nothing."""
    return _requeue(
        claim,
        state=TaskState.READY if due_at is None else TaskState.SCHEDULED,
        run_at=due_at or claim.run_at,
        attempt=claim.attempt - 1,
    )


def interrupted(claim: Claim, *, worker_name: str) -> Record:
    """Return what giving back a started claim writes: it costs a release.

    A task that no worker can finish between two deployments ends: past the
    cap on releases each one counts as a crash.
    """
    if claim.releases >= settings().releases:
        cause = f"given back {claim.releases} times by stopping workers"
        return crashed(claim, TaskCrashed(cause), worker_name=worker_name)
    return replace(released(claim), releases=claim.releases + 1)


def crashed(claim: Claim, error: TaskCrashed, *, worker_name: str) -> Record:
    """Return what the death of a claim's process writes.

    It costs a crash and no attempt. The last crash allowed ends the task.
    """
    crashes = claim.crashes + 1
    written: dict[str, Any] = {
        "crashes": crashes,
        "errors": _errors(claim, AttemptError.of(error)),
        "started_at": claim.started_at or claim.claimed_at,
    }
    if crashes < settings().crashes:
        attempt = claim.attempt - 1
        return _requeue(claim, state=TaskState.READY, attempt=attempt, **written)
    return _finish(
        claim,
        ResultStatus.CRASHED,
        worker_ids=_workers(claim, worker_name),
        finished_at=timezone.now(),
        **written,
    )


def refused(record: Record, error: Exception) -> Finish:
    """Return the plainest end for a row whose record the database refuses."""
    plain = AttemptError.of(ResultError(f"Refused by the database: {error!r}"))
    return Finish(
        id=record.id,
        token=record.token,
        status=ResultStatus.FAILED,
        attempt=record.attempt,
        crashes=record.crashes,
        errors=json.dumps([stored_error(plain)]),
        worker_ids="[]",
        return_value=None,
        started_at=record.started_at,
        finished_at=timezone.now(),
    )


def stored_error(error: AttemptError) -> dict[str, str]:
    """Return an error as it is stored."""
    return {
        "exception_class_path": error.exception_class_path,
        "traceback": error.traceback,
    }


def _finish(claim: Claim, status: ResultStatus, **written: Any) -> Finish:
    kept = {"errors": json.dumps(claim.errors), "return_value": None}
    return Finish(
        id=claim.id,
        token=claim.token,
        status=status,
        attempt=claim.attempt,
        **{"crashes": claim.crashes, **kept, **written},
    )


def _requeue(claim: Claim, *, state: TaskState, **written: Any) -> Requeue:
    kept = {
        "run_at": claim.run_at,
        "attempt": claim.attempt,
        "crashes": claim.crashes,
        "releases": claim.releases,
        "errors": json.dumps(claim.errors),
        "worker_ids": json.dumps(claim.worker_ids),
        "started_at": claim.started_at,
    }
    return Requeue(id=claim.id, token=claim.token, state=state, **{**kept, **written})


def _errors(claim: Claim, error: AttemptError) -> str:
    return json.dumps([*claim.errors, stored_error(error)][-ERRORS_KEPT:])


def _workers(claim: Claim, worker_name: str) -> str:
    return json.dumps([*claim.worker_ids, worker_name][-WORKERS_KEPT:])
