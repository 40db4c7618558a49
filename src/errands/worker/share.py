"""How many attempts one process may still make, and whether it has done its share.

::

    --limit                   for the place, whichever processes have worked there
    --max-tasks, --max-rss    for this process: then another takes over (leaving.py)

What it holds, and has not settled yet, counts as if it were made. All of this
belongs to the courier's thread.
"""

import logging
from collections import Counter

from errands.tasks.outcomes import Failed, Interrupted, Outcome, Snoozed, Succeeded
from errands.worker.leaving import Leaving
from errands.worker.workplace import Workplace

logger = logging.getLogger("errands.worker")


class Share:
    """What one process does before it ends by itself."""

    def __init__(self, workplace: Workplace, leaving: Leaving | None = None) -> None:
        self._limit = workplace.options.limit
        self._slots = workplace.slots
        self._leaving = leaving or Leaving(workplace.options)
        self._attempts = 0
        self.is_leaving = False

    def count(self, ended: "Counter[type[Outcome]]") -> None:
        """Count attempts that are settled, for the tally too."""
        attempts = ended.total() - ended[Interrupted] - ended[Snoozed]
        self._attempts += attempts
        self._slots.count(
            attempts=attempts, succeeded=ended[Succeeded], failed=ended[Failed]
        )

    def is_done(self, unsettled: int) -> bool:
        """Return whether it should claim nothing more."""
        return self.is_leaving or self._left_to_limit(unsettled) == 0

    def within(self, wanted: int, *, unsettled: int) -> int:
        """Return how many of those wanted it may claim."""
        bounds = [wanted, self._left_to_limit(unsettled)]
        if (left := self._leaving.left(self._attempts)) is not None:
            bounds.append(max(0, left - unsettled))
        return min(bound for bound in bounds if bound is not None)

    def leave_if_due(self) -> None:
        """Ask for another process, once this one has grown old or large."""
        if self.is_leaving or not (reason := self._leaving.reason(self._attempts)):
            return
        self.is_leaving = True
        self._slots.say_leaving()
        logger.info("process leaves after %s; another takes over", reason)

    def _left_to_limit(self, unsettled: int) -> int | None:
        if self._limit is None:
            return None
        # The children before us in this place have made some of them.
        return max(0, self._limit - self._slots.attempts - unsettled)
