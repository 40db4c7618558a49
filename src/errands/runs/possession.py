"""An attempt's right to write to a run, from taking it over to its end."""

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models import F
from django.utils.translation import gettext

from errands.exceptions import LeaseLost
from errands.instants import for_site, now
from errands.runs.control import Control, close_if_dead
from errands.runs.ending import end
from errands.runs.fence import Fence, run_alias
from errands.runs.models import Run
from errands.runs.progress import ProgressWriter
from errands.runs.progress_row import ProgressRow, delete_row
from errands.runs.results import ResultsWriter
from errands.runs.states import State
from errands.text import clean_line, clean_text

logger = logging.getLogger("errands.runs")

MESSAGE_LIMIT = 2000


class Possession:
    """A run in the hands of one attempt.

    Every write raises ``LeaseLost``, and changes nothing, once another attempt
    has taken the run over or the run has ended. Exactly one of ``succeed``,
    ``fail``, ``cancelled``, ``retry_later`` and ``interrupted`` ends it.
    """

    def __init__(self, run: Run, fence: Fence) -> None:
        self.run = run
        self.fence = fence
        self.attempt = run.attempt
        self.control = Control(fence)
        self.results = ResultsWriter(fence)
        self.progress = ProgressWriter(
            ProgressRow(fence), self.control, attempt=run.attempt
        )
        self._was_in_transaction = connections[run_alias()].in_atomic_block

    @property
    def dispatch(self) -> int:
        """The dispatch number of the task."""
        return self.fence.dispatch

    @property
    def task_id(self) -> str:
        """The id of the task that took the run over."""
        return self.fence.task_id

    @property
    def token(self) -> int:
        """The token of this attempt."""
        return self.fence.token

    def write(self, **fields: Any) -> None:
        """Update fields of the run, behind the fence."""
        changed = self.fence.runs().update(**fields, version=F("version") + 1)
        if not changed:
            raise self._lease_lost()

    def succeed(self, outcome: Mapping[str, Any] | None = None) -> None:
        """End the run well, with the results written so far.

        State, outcome and results change in one transaction.
        """
        expires = self.run.result_expires
        self._end(
            State.SUCCEEDED,
            outcome=json.dumps(outcome) if outcome is not None else "",
            expires_at=None if expires is None else for_site(now() + expires),
        )

    def fail(self, message: object, reference: str = "") -> None:
        """End the run as failed, with a text its owner may read."""
        self._end(
            State.FAILED,
            error_message=clean_text(message, MESSAGE_LIMIT),
            error_reference=clean_line(reference or self.run.reference, 100),
        )

    def cancelled(self) -> None:
        """End the run as cancelled."""
        self._end(State.CANCELLED)

    def retry_later(self, after: timedelta = timedelta()) -> None:
        """Give the run back: its task is due again ``after`` this long.

        The page says that another attempt will follow.
        """
        due_at = for_site(now() + after)
        self._give_back(run_after=due_at, status=clean_line(gettext("Trying again")))

    def interrupted(self) -> None:
        """Give the run back because the worker stops; another one goes on."""
        self._give_back(is_interrupted=True)

    def abandon(self) -> None:
        """Leave nothing behind once the lease is lost.

        Of a run that was deleted meanwhile, nobody else would remove it.
        """
        self.progress.write()  # calls off what is still to be written
        self.results.discard()
        if not Run.objects.using(run_alias()).filter(pk=self.run.pk).exists():
            delete_row(self.run.pk)

    def _end(self, state: State, **fields: Any) -> None:
        """Perform step 3 of the hand-over."""
        self._close()
        with transaction.atomic(using=run_alias()):
            if not end(self.fence.runs(), self.run.pk, state=state, **fields):
                raise self._lease_lost()
            if state == State.SUCCEEDED:
                self.results.replace_rows()
        if state != State.SUCCEEDED:
            self.results.discard()

    def _give_back(self, **fields: Any) -> None:
        """Let another attempt follow; a cancelled run ends instead."""
        self._close()
        self.results.discard()
        version = F("version") + 1
        running = self.fence.runs().filter(state=State.RUNNING)
        if not running.update(state=State.QUEUED, version=version, **fields):
            self._end(State.CANCELLED)

    def _close(self) -> None:
        """Write the last count, and undo what the job left open."""
        self.progress.write()
        connection = connections[run_alias()]
        if not connection.in_atomic_block:
            # Also ends manual transactions: autocommit is back on.
            connection.close_if_unusable_or_obsolete()
            # Let the end of a long computation not fail for an idle connection.
            close_if_dead(connection)
        elif not self._was_in_transaction:
            run_id = self.run.pk
            logger.error("Run %s: its job left a transaction open", run_id)
            connection.close()
            connection.connect()

    def _lease_lost(self) -> LeaseLost:
        return LeaseLost(f"Run {self.run.pk} belongs to another attempt, or has ended.")
