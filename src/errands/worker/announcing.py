"""The signals of attempts, sent once the database has acknowledged them."""

import logging
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from django.db import Error
from django.dispatch import Signal
from django.tasks import TaskResult
from django.tasks.signals import task_finished

from errands.queue.claims import Claim, Settlement
from errands.queue.living.rescuing import may_have_ended, tell_if_ended
from errands.tasks.attempt import is_cooperative
from errands.tasks.outcomes import (
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    Succeeded,
)
from errands.tasks.signals import task_discarded, task_retrying, tell
from errands.worker.connections import clean_connections, renew_connections
from errands.worker.workplace import Attempted, Workplace

logger = logging.getLogger("errands.worker")

SIGNALS: dict[type[Outcome], tuple[Signal, ...]] = {
    Succeeded: (task_finished,),
    Retry: (task_retrying,),
    Failed: (task_finished,),
    Discarded: (task_discarded, task_finished),
    Cancelled: (task_finished,),
}
GIVEN_BACK = Interrupted, Snoozed


def is_of_interest(attempted: Attempted, *, is_success_heard: bool) -> bool:
    """Return False where announcing an attempt would reach nobody.

    Of a success, ``is_success_heard`` says whether anybody but jobs would hear. Of
    what was given back, the database will say whether that has ended the task.
    """
    result = attempted.result
    if isinstance(attempted.settlement.outcome, GIVEN_BACK):
        return may_have_ended(attempted.settlement.claim)
    if result is None:
        return False
    if is_success_heard or not isinstance(attempted.settlement.outcome, Succeeded):
        return True
    return is_cooperative(result.task)


class Announcer:
    """Tells receivers what became of tasks, in one thread.

    If the process dies before a task is announced, nobody is told: the row
    is the truth, the signal a courtesy.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._backend = workplace.store.backend
        self.count = 0

    def announce(self, attempted: Attempted) -> None:
        """Send the signals of an acknowledged attempt; never raises.

        The exception that ended the attempt is active meanwhile, so that
        ``sys.exc_info()`` in a receiver has it. What receivers leave in the
        context stays behind with them.
        """
        try:
            copy_context().run(self._announce, attempted)
        except BaseException:
            task_id = attempted.settlement.claim.uuid
            logger.exception("Task id=%s: a receiver broke out", task_id)
        # In this order: whoever is short sets that first, and then counts.
        self.count += 1
        if self._workplace.is_short.is_set():
            self._workplace.outbox.put(None)

    def _announce(self, attempted: Attempted) -> None:
        settlement, result = attempted.settlement, attempted.result
        if isinstance(settlement.outcome, GIVEN_BACK):
            self._tell_of_its_end(settlement.claim)
        elif result is not None:
            self._tell(settlement, result)

    def _tell_of_its_end(self, claim: Claim) -> None:
        renew_connections()
        with suppress(Error):
            tell_if_ended(self._workplace.store, claim)
        clean_connections()

    def _tell(self, settlement: Settlement, result: TaskResult) -> None:
        renew_connections()
        self._backend.finished_result(result, settlement)
        outcome = settlement.outcome
        if isinstance(outcome, Succeeded):
            self._send(outcome, task_result=result)
        elif isinstance(outcome, Retry):
            self._send_raising(outcome, task_result=result, after=outcome.after)
        elif isinstance(outcome, Failed | Discarded | Cancelled):
            self._send_raising(outcome, task_result=result)
        clean_connections()

    def _send_raising(
        self, outcome: Retry | Failed | Discarded | Cancelled, **told: Any
    ) -> None:
        try:
            raise outcome.error.exception
        except BaseException:  # noqa: BLE001 - whatever the task raised
            self._send(outcome, **told)

    def _send(self, outcome: Outcome, *, task_result: TaskResult, **told: Any) -> None:
        for signal in SIGNALS[type(outcome)]:
            if signal.receivers:
                tell(signal, type(self._backend), task_result=task_result, **told)
