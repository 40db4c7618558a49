"""What may end an attempt from outside, asked at its checkpoints."""

import logging

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from errands.exceptions import LeaseLost, TaskCancelled, TaskInterrupted
from errands.runs.fence import Fence, run_alias
from errands.runs.states import State
from errands.tasks.context import TaskContext, current_context

logger = logging.getLogger("errands.runs")


class Control:
    """Tells an attempt whether it should go on."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._context: TaskContext | None = current_context()

    @property
    def is_urgent(self) -> bool:
        """Whether the worker wants something now; costs no query."""
        context = self._context
        return context is not None and (context.should_stop or context.cancel_requested)

    def check(self) -> None:
        """Raise if the attempt should not go on; one query.

        Raises ``TaskInterrupted`` when the worker is stopping, ``TaskCancelled``
        when somebody cancelled the run or its task, ``LeaseLost`` when another
        attempt has taken the run over. A cancellation made while the job holds
        a snapshot of the database is seen after it.
        """
        if self._context is not None and self._context.cancel_requested:
            raise TaskCancelled(f"Run {self._fence.run_id} was cancelled.")
        if self._context is not None and self._context.should_stop:
            raise TaskInterrupted("The worker is stopping.")
        try:
            state = self._fence.runs().values_list("state", flat=True).first()
        except Error:
            # An outage, or a transaction the job has broken and not left yet:
            # not this attempt's end. Its own next query says what it is. A job
            # that makes none must still hear of a cancellation.
            logger.debug("Run %s: control not read", self._fence.run_id, exc_info=True)
            close_if_dead(connections[run_alias()])
            return
        if state is None:
            raise LeaseLost(f"Run {self._fence.run_id} belongs to another attempt.")
        if state == State.CANCELLING:
            raise TaskCancelled(f"Run {self._fence.run_id} was cancelled.")


def close_if_dead(connection: BaseDatabaseWrapper) -> None:
    """Let the next query outside of a transaction open a connection that was cut."""
    if connection.connection is None or connection.in_atomic_block:
        return
    if not connection.is_usable():
        connection.close()
