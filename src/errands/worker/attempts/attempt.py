"""What one attempt consists of, from the claim to the settlement."""

import logging
from collections.abc import Sequence
from contextvars import Context, copy_context
from datetime import timedelta

from django.tasks import Task, TaskResult

from errands import instants
from errands.exceptions import ErrandsError
from errands.queue.claims import Claim, Payload, Settlement, storable
from errands.queue.store import Store
from errands.queue.writing.keeping import kept_by
from errands.tasks.attempt import judge
from errands.tasks.context import dump_metadata
from errands.tasks.interrupting import Control
from errands.tasks.options import TaskOptions
from errands.tasks.outcomes import Interrupted, Outcome, Retry, Snoozed, Succeeded
from errands.worker.connections import kept
from errands.worker.workplace import Attempted

logger = logging.getLogger("errands.worker")

MOST_SECONDS = timedelta(days=3650).total_seconds()


class Attempt:
    """A claim on its way; task and call are known once it is prepared."""

    __slots__ = (
        "_metadata",
        "call",
        "claim",
        "context",
        "control",
        "is_async",
        "options",
        "result",
        "started_at",
        "task",
        "worker",
    )

    task: Task
    call: Payload
    options: TaskOptions
    is_async: bool
    """Whether it is awaited on the event loop."""
    control: Control
    result: TaskResult

    def __init__(self, claim: Claim, worker: str) -> None:
        self.claim = claim
        self.worker = worker
        self.started_at = instants.now()
        self.context: Context = copy_context()
        self._metadata = self._dumped_metadata()

    @property
    def timeout(self) -> timedelta | None:
        """How long it may take: what the call says, or else the task."""
        if "timeout" not in self.call.options:
            return self.options.timeout
        seconds = self.call.options["timeout"]
        return None if seconds is None else timedelta(seconds=min(seconds, MOST_SECONDS))

    @property
    def was_interrupted(self) -> bool:
        """Whether its code may have been left at any line, to be cancelled or ended."""
        return self.control.asked is not None

    def judged(self, outcome: Outcome, left_open: Sequence[str]) -> Outcome:
        """Return the outcome; a success whose writes were rolled back is none."""
        if not left_open or not isinstance(outcome, Succeeded):
            return outcome
        error = ErrandsError(
            f"The task returned inside a transaction of {', '.join(left_open)}; what "
            "it wrote there has been rolled back. Leave atomic() before returning."
        )
        return self.failed(error)

    def failed(self, error: BaseException) -> Outcome:
        """Return what it means that the attempt has failed after its code returned."""
        allowed = self.claim.max_attempts
        return judge(error, self.task, self.result, max_attempts=allowed)

    def ended(self, outcome: Outcome) -> Attempted:
        """Return how it ended, still to be settled."""
        return Attempted(self.settlement(outcome), getattr(self, "result", None))

    def save_metadata(self, store: Store, text: str) -> bool:
        """Store metadata before the attempt ends; False when the lease was lost.

        What it ends with is stored then, also where it is what it began with.
        """
        self._metadata = None
        return store.save_metadata(self.claim, text)

    def lost(self) -> Attempted:
        """Return that somebody else has it now: nothing is recorded.

        A session that a task has spoiled, as by another ``search_path``, may have
        said so: it is not used any more.
        """
        kept.distrust()
        return Attempted(self.settlement(Interrupted()), None, is_lost=True)

    def settlement(self, outcome: Outcome) -> Settlement:
        """Return what is recorded of an outcome.

        A success whose return value cannot be stored is a failure.
        """
        if isinstance(outcome, Succeeded) and outcome.return_value is not None:
            outcome = storable(outcome)
        return Settlement(
            self.claim,
            outcome,
            self.started_at,
            instants.now(),
            self.worker,
            metadata=self._changed_metadata(),
            keep=self._keep(outcome),
        )

    def _changed_metadata(self) -> str | None:
        text = self._dumped_metadata()
        return None if text == self._metadata else text

    def _dumped_metadata(self) -> str | None:
        """Return the metadata as stored now; None where it cannot be."""
        metadata = self.claim.metadata
        if not metadata:
            return "{}"
        try:
            return dump_metadata(metadata)
        except BaseException:
            logger.exception("Task id=%s: its metadata is not stored", self.claim.uuid)
            return None

    def _keep(self, outcome: Outcome) -> timedelta | None:
        if not hasattr(self, "options"):
            return None
        if self.options.keep is None and "keep" not in self.call.options:
            return None
        if isinstance(outcome, Interrupted | Retry | Snoozed):
            return None
        has_succeeded = isinstance(outcome, Succeeded)
        options = self.call.options
        return kept_by(self.claim.path, options, has_succeeded=has_succeeded)
