"""From an outcome to what is written: pure functions, no SQL.

What an attempt, a release or the death of a process makes of a claimed row.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from errands import instants
from errands.conf import settings
from errands.exceptions import ResultError, TaskCrashed, TaskTimeout, WorkerLost
from errands.queue.claims import Claim, Settlement
from errands.queue.records import Finish, Record, Requeue
from errands.queue.states import ResultStatus, TaskState
from errands.queue.writing.keeping import NOTHING, expiry, kept, site_keeps_nothing
from errands.tasks.attempt import end_at_once, options_of
from errands.tasks.backoff import exponential
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
from errands.tasks.registry import registry

ERRORS_KEPT = 50
WORKERS_KEPT = 100

STATUSES = {
    Failed: ResultStatus.FAILED,
    Discarded: ResultStatus.DISCARDED,
    Cancelled: ResultStatus.CANCELLED,
}


def record_of(settlement: Settlement) -> Record:
    """Return what a settlement writes."""
    claim, outcome = settlement.claim, settlement.outcome
    match outcome:
        # First, as nearly all are.
        case Succeeded(return_value):
            returned = "null" if return_value is None else json.dumps(return_value)
            return _ended(settlement, ResultStatus.SUCCEEDED, return_value=returned)
        case Snoozed(after):
            due_at, name = settlement.finished_at + after, settlement.worker_name
            given_back = released(claim, due_at=due_at, worker_name=name)
            return given_back.noting(settlement.metadata)
        case Interrupted():
            record = interrupted(claim, worker_name=settlement.worker_name)
            if isinstance(record, Requeue):
                return record.noting(settlement.metadata)
            return record._replace(metadata=settlement.metadata)
        case Retry(after, error):
            return _requeue(
                claim,
                state=TaskState.SCHEDULED,
                run_at=settlement.finished_at + after,
                errors=_errors(claim, error),
                worker_ids=_workers(claim, settlement.worker_name),
                started_at=claim.started_at or settlement.started_at,
                metadata=settlement.metadata,
            )
        case _:
            errors = _errors(claim, outcome.error)
            return _ended(settlement, STATUSES[type(outcome)], errors=errors)


def released(
    claim: Claim, *, due_at: datetime | None = None, worker_name: str | None = None
) -> Requeue:
    """Return what giving back an unstarted claim writes: it costs nothing.

    A suspect stays one until it has run. ``worker_name`` is whose attempt it was
    if it has been started all the same.
    """
    state = TaskState.READY if due_at is None else TaskState.SCHEDULED
    return _requeue(
        claim,
        state=TaskState.SUSPECT if claim.is_suspect else state,
        run_at=due_at or claim.run_at,
        attempt=claim.attempt - 1,
        lost=_lost(claim, worker_name) if claim.at_most_once else None,
    )


def interrupted(claim: Claim, *, worker_name: str) -> Record:
    """Return what giving back a started claim writes: it costs a release.

    A task that no worker can finish between two deployments ends: past the
    cap on releases each one counts as a crash. One that must not be started
    twice ends as lost if it had been started.
    """
    if claim.releases >= settings().releases:
        cause = f"given back {claim.releases} times by stopping workers"
        record = crashed(claim, TaskCrashed(cause), worker_name=worker_name)
        # Nobody died of it, so it need not run alone.
        if isinstance(record, Requeue):
            return record._replace(state=TaskState.READY)
        return record
    given_back = released(claim, worker_name=worker_name)
    return given_back._replace(releases=claim.releases + 1)


def crashed(claim: Claim, error: TaskCrashed, *, worker_name: str) -> Record:
    """Return what the death of a claim's process writes.

    It costs a crash and no attempt, and makes the task a suspect, unless it was
    lost with its host for the first time. The last crash allowed ends the task,
    and the first ends one as lost that had been started and must not be twice.
    """
    crashes = claim.crashes + 1
    is_lost = claim.at_most_once and claim.started_at is not None
    written: dict[str, Any] = {
        "crashes": crashes,
        "errors": _errors(claim, AttemptError.of(error)),
    }
    if crashes < settings().crashes and not is_lost:
        if not claim.at_most_once:
            written["started_at"] = claim.started_at or claim.claimed_at
        is_innocent = isinstance(error, WorkerLost) and not claim.has_just_crashed
        state = TaskState.READY if is_innocent else TaskState.SUSPECT
        return _requeue(claim, state=state, attempt=claim.attempt - 1, **written)
    return _finish(
        claim,
        ResultStatus.LOST if is_lost else ResultStatus.CRASHED,
        worker_ids=_workers(claim, worker_name),
        started_at=claim.started_at or claim.claimed_at,
        **written,
    )


def timed_out(claim: Claim, error: TaskTimeout, *, worker_name: str) -> Record:
    """Return what killing the process of an overdue attempt writes.

    It costs the attempt. While there are more, and the task tries again what timed
    out, the next one comes after the default back-off, whatever the task's own is:
    nobody is left to ask it.
    """
    written: dict[str, Any] = {
        "errors": _errors(claim, AttemptError.of(error)),
        "worker_ids": _workers(claim, worker_name),
        "started_at": claim.started_at or claim.claimed_at,
    }
    task = registry.find(claim.path)
    end = None if task is None else end_at_once(error, options_of(task))
    has_more = claim.attempt < claim.max_attempts and not claim.at_most_once
    if has_more and end is None:
        due_at = instants.now() + timedelta(seconds=exponential().after(claim.attempt))
        return _requeue(claim, state=TaskState.SCHEDULED, run_at=due_at, **written)
    status = ResultStatus.LOST if claim.at_most_once else STATUSES[end or Failed]
    return _finish(claim, status, **written)


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
        finished_at=instants.now(),
        concurrency_key=record.concurrency_key,
        refusal=plain,
    )


def as_written(settlement: Settlement, record: Record) -> Settlement:
    """Return what a settlement has come to: failed, where it was refused."""
    if isinstance(record, Requeue) or record.refusal is None:
        return settlement
    return replace(settlement, outcome=Failed(record.refusal))


def stored_error(error: AttemptError) -> dict[str, str]:
    """Return an error as it is stored."""
    return {
        "exception_class_path": error.exception_class_path,
        "traceback": error.traceback,
    }


def _ended(
    settlement: Settlement,
    status: ResultStatus,
    *,
    return_value: str | None = None,
    errors: str | None = None,
) -> Finish:
    claim, finished_at, keep = settlement.claim, settlement.finished_at, settlement.keep
    has_succeeded = status == ResultStatus.SUCCEEDED
    if keep is None:
        keep = site_keeps_nothing(has_succeeded=has_succeeded)
    # By position: by name takes twice as long.
    return Finish(
        claim.id,
        claim.token,
        status,
        claim.attempt,
        claim.crashes,
        errors or _errors(claim),
        _workers(claim, settlement.worker_name),
        return_value,
        claim.started_at or settlement.started_at,
        finished_at,
        settlement.metadata,
        None if keep is None else expiry(finished_at, keep),
        claim.concurrency_key,
        is_dropped=has_succeeded and keep is not None and keep <= NOTHING,
    )


def _lost(claim: Claim, worker_name: str | None) -> Finish:
    """Return how a task ends that had been started and must not be twice."""
    error = AttemptError.of(TaskCrashed("It had been started, and is not started twice."))
    before = json.dumps(claim.worker_ids)
    return _finish(
        claim,
        ResultStatus.LOST,
        errors=_errors(claim, error),
        worker_ids=before if worker_name is None else _workers(claim, worker_name),
        started_at=claim.started_at,
    )


def _finish(claim: Claim, status: ResultStatus, **written: Any) -> Finish:
    """Return how a task ends now, without its code."""
    now = instants.now()
    return Finish(
        id=claim.id,
        token=claim.token,
        status=status,
        attempt=claim.attempt,
        return_value=None,
        finished_at=now,
        expires_at=expiry(now, kept(claim.path, claim.payload, has_succeeded=False)),
        concurrency_key=claim.concurrency_key,
        **{"crashes": claim.crashes, **written},
    )


def _requeue(claim: Claim, *, state: TaskState, **written: Any) -> Requeue:
    before = {
        "run_at": claim.run_at,
        "attempt": claim.attempt,
        "crashes": claim.crashes,
        "releases": claim.releases,
        "errors": _errors(claim),
        "worker_ids": json.dumps(claim.worker_ids),
        "started_at": claim.started_at,
        "unless_started": claim.at_most_once,
        "concurrency_key": claim.concurrency_key,
    }
    return Requeue(id=claim.id, token=claim.token, state=state, **{**before, **written})


def _errors(claim: Claim, *more: AttemptError) -> str:
    if not (claim.errors or more):
        return "[]"
    return json.dumps([*claim.errors, *map(stored_error, more)][-ERRORS_KEPT:])


def _workers(claim: Claim, worker_name: str) -> str:
    before = claim.worker_ids
    return _names(*before[1 - WORKERS_KEPT :], worker_name)


@lru_cache
def _names(*names: str) -> str:
    return json.dumps(names)
