"""Cancelling: at once where nobody is at work, else at the next checkpoint."""

from functools import partial

from django.db import transaction
from django.db.models import F

from errands.runs.ending import end
from errands.runs.fence import run_alias
from errands.runs.models import Run
from errands.runs.states import IDLE, OPEN, State
from errands.tasks.capabilities import cancel as cancel_task

SHOWN = ["state", "version", "finished_at", "task_id", "dispatched_task"]


def cancel(run: Run) -> None:
    """End an idle run at once; ask the attempt of any other to stop.

    Both are conditional on the state, and a run can change from one to the
    other between them: an attempt takes it over, or gives it back. So it is
    asked again until either took effect or somebody else ended the run. Each
    further round needs an attempt to begin or end in between.
    """
    runs = Run.objects.using(run_alias()).filter(pk=run.pk)
    attempted = runs.filter(state__in=OPEN).exclude(state__in=IDLE)
    while True:
        if end(runs.filter(state__in=IDLE), run.pk, state=State.CANCELLED):
            run.refresh_from_db(using=run_alias(), fields=SHOWN)
            _cancel_waiting_task(run)
            return
        asked = attempted.exclude(state=State.CANCELLING)
        asked.update(state=State.CANCELLING, version=F("version") + 1)
        run.refresh_from_db(using=run_alias(), fields=SHOWN)
        if run.state not in IDLE:
            return


def _cancel_waiting_task(run: Run) -> None:
    """Spare the engine a task that would return at once anyway."""
    if run.responsible_task:
        spare = partial(cancel_task, run.backend, run.responsible_task)
        transaction.on_commit(spare, using=run_alias(), robust=True)
