"""The fence: which attempt may write to a run."""

from dataclasses import dataclass
from uuid import UUID

from django.db import router

from errands.runs.models import Run, RunQuerySet
from errands.runs.states import ATTEMPTED


def run_alias() -> str:
    """Return the database alias runs are written to."""
    return router.db_for_write(Run)


@dataclass(frozen=True, slots=True)
class Fence:
    """What every write of an attempt is compared with.

    The attempt that took the run over last wins: its token is the highest, so
    whatever an earlier one still writes changes nothing.
    """

    run_id: UUID
    dispatch: int
    task_id: str
    token: int

    def runs(self) -> RunQuerySet:
        """Return the run if this attempt may still write to it, else nothing."""
        return Run.objects.using(run_alias()).filter(
            pk=self.run_id,
            dispatch=self.dispatch,
            task_id=self.task_id,
            token=self.token,
            state__in=ATTEMPTED,
        )
