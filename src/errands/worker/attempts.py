"""From a claim to an attempt that has ended, whatever happens in between."""

import logging
from contextvars import copy_context
from datetime import datetime, timedelta

from django.tasks import Task, TaskResult
from django.tasks.signals import task_started
from django.utils import timezone

from errands.conf import settings
from errands.exceptions import ErrandsError, UnknownTask
from errands.queue.claims import Claim, Payload, Settlement
from errands.tasks.attempt import judge, perform
from errands.tasks.outcomes import AttemptError, Failed, Outcome, Snoozed, Succeeded
from errands.tasks.registry import registry
from errands.worker.connections import clean_connections
from errands.worker.workplace import Attempted, Workplace

logger = logging.getLogger("errands.worker")

UNKNOWN_TASK_PAUSE = timedelta(seconds=60)


class Attempts:
    """Makes the attempts of one process, in any of its threads."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._backend = workplace.store.backend
        self._missed: set[str] = set()

    def make(self, claim: Claim) -> Attempted:
        """Run a claimed task once; never raises.

        In a copy of the thread's context: a language or any other context
        variable that the task sets is gone with it.
        """
        started_at = timezone.now()
        try:
            outcome, result = copy_context().run(self._attempt, claim)
            return Attempted(self._settlement(claim, outcome, started_at), result)
        except BaseException as escaped:
            told = (claim.uuid, claim.path)
            logger.exception("Task id=%s path=%s broke its attempt", *told)
            failed = Failed(AttemptError.of(escaped))
            return Attempted(self._settlement(claim, failed, started_at), None)

    def _attempt(self, claim: Claim) -> tuple[Outcome, TaskResult | None]:
        task = registry.find(claim.path)
        if task is None:
            return self._unknown(claim), None
        call = Payload.parse(claim.payload)
        result = self._backend.result_for(claim, call, self._workplace.name)
        task_started.send_robust(type(self._backend), task_result=result)
        outcome = perform(
            task,
            result,
            token=claim.token,
            carried=call.carried,
            control=self._workplace.stop.control,
            max_attempts=claim.max_attempts,
        )
        left_open = clean_connections()
        if left_open and isinstance(outcome, Succeeded):
            outcome = _judge_left_open(left_open, task, result)
        return outcome, result

    def _unknown(self, claim: Claim) -> Outcome:
        """Leave a task to workers with newer code, for as long as is configured."""
        if claim.path not in self._missed:
            self._missed.add(claim.path)
            logger.warning(
                "Task id=%s path=%s is unknown to this worker", claim.uuid, claim.path
            )
        if timezone.now() - claim.enqueued_at < settings().unknown_task_patience:
            return Snoozed(UNKNOWN_TASK_PAUSE)
        unknown = UnknownTask(
            f"No worker knows {claim.path!r}. Was it renamed? Workers import what is "
            "below 'tasks' and 'jobs' of the installed apps, and ERRANDS['IMPORTS']."
        )
        return Failed(AttemptError.of(unknown))

    def _settlement(
        self, claim: Claim, outcome: Outcome, started_at: datetime
    ) -> Settlement:
        return Settlement(
            claim, outcome, started_at, timezone.now(), self._workplace.name
        )


def _judge_left_open(aliases: list[str], task: Task, result: TaskResult) -> Outcome:
    """A success whose writes were rolled back is none."""
    error = ErrandsError(
        f"The task returned inside a transaction of {', '.join(aliases)}; what it "
        "wrote there has been rolled back. Leave atomic() before returning."
    )
    return judge(error, task, result)
