"""The upkeep of runs: what repairs every death the hand-over allows.

Any number of workers may sweep at once. What a sweep changes it changes by a
conditional UPDATE, and a run that cannot be repaired stops no other.
"""

import logging
import time
from collections.abc import Callable
from math import inf

from django.core.files.storage import storages
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.tasks import task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils import timezone

from errands.conf import settings
from errands.exceptions import UnknownTask
from errands.runs.fence import run_alias
from errands.runs.files import remove_all
from errands.runs.handover import DISPATCH_PATIENCE, configured, dispatch
from errands.runs.models import Run, RunQuerySet, RunResult
from errands.runs.reconcile import end_run
from errands.tasks.registry import registry
from errands.tasks.sweeps import rare_sweep, sweep

logger = logging.getLogger("errands.runs")

BATCH = 500

EXPIRY_SECONDS = 1.0
"""How long one sweep deletes results. A file in a bucket takes tenths of a second,
and the thread that sweeps is the one that makes tasks ready when they are due."""


@sweep
def mend_open_runs() -> int:
    """Dispatch and end what was left open; return how many runs.

    Asks once whether any run has been open for 5 s, which is all it costs a
    site where none is.
    """
    patience = timezone.now() - DISPATCH_PATIENCE
    if not _runs().open().filter(created_at__lt=patience).exists():
        return 0
    return dispatch_what_was_left() + end_runs_without_a_task()


def dispatch_what_was_left() -> int:
    """Dispatch runs whose task was not recorded 5 s after it should have been.

    Claiming a run moves its ``dispatched_at``, so one that cannot be enqueued
    comes last in the next sweep. Returns how many were dispatched.
    """
    patience = timezone.now() - DISPATCH_PATIENCE
    left = (
        _runs()
        .open()
        .filter(dispatched_task=None, task_id=None)
        .annotate(tried_at=Coalesce("dispatched_at", "created_at"))
        .filter(tried_at__lt=patience)
        .order_by("tried_at")
    )
    return _for_each(left, _dispatch_again)


def end_runs_without_a_task() -> int:
    """End open runs whose task has ended or is gone; return how many.

    Looks at up to 500 runs a time, oldest first, and goes on in the next sweep
    where it stopped, so that a long queue hides nothing for ever.
    """
    return _for_each(_patrol.next_runs(), _end_if_task_has_ended)


@rare_sweep
def expire_results() -> int:
    """Delete results whose time has come, files first; return how many runs.

    A death between file and row repeats the deletion; the other order would
    leave a file nobody knows of. After a second the rest is left to the next
    sweep: who asks for an expired result gets none anyway.
    """
    rows = RunResult.objects.using(run_alias()).filter(
        run__expires_at__lte=timezone.now()
    )
    # In any order, so that results no storage will delete hide no others.
    expired = _runs().filter(pk__in=rows.values("run")).order_by("?").only("pk")
    return _for_each(expired, _expire, seconds=EXPIRY_SECONDS)


class Patrol:
    """Where this process goes on looking for runs without a task."""

    def __init__(self) -> None:
        self._passed = Q()

    def next_runs(self) -> list[Run]:
        """Return the next open, dispatched runs; after the last, none once.

        One whose caller died before it recorded the task may have been taken
        over all the same.
        """
        patience = timezone.now() - DISPATCH_PATIENCE
        runs = list(
            _runs()
            .open()
            .exclude(task_id=None, dispatched_task=None)
            .filter(
                self._passed,
                Q(dispatched_at__lt=patience)
                | Q(dispatched_at=None, created_at__lt=patience),
            )
            .order_by("created_at", "pk")[:BATCH]
        )
        self._passed = _after(runs[-1]) if len(runs) == BATCH else Q()
        return runs


_patrol = Patrol()


def _after(run: Run) -> Q:
    same_instant = Q(created_at=run.created_at, pk__gt=run.pk)
    return Q(created_at__gt=run.created_at) | same_instant


def _for_each(
    runs: RunQuerySet | list[Run],
    repair: Callable[[Run], bool],
    *,
    seconds: float = inf,
) -> int:
    """Repair up to a batch of runs, none after so many seconds; return how many were."""
    repaired, ends_at = 0, time.monotonic() + seconds
    for run in runs[:BATCH]:
        try:
            repaired += repair(run)
        except Exception:
            logger.exception("Run %s: %s", run.pk, repair.__name__)
        if time.monotonic() >= ends_at:
            break
    return repaired


def _dispatch_again(run: Run) -> bool:
    claimed = (
        _runs()
        .open()
        .filter(
            pk=run.pk,
            dispatch=run.dispatch,
            dispatched_task=None,
            dispatched_at=run.dispatched_at,
        )
    )
    if not claimed.update(dispatched_at=timezone.now()):
        return False
    task = registry.find(run.job)
    if task is None:
        return _give_up_unknown(run)
    dispatch(run, configured(task, run))
    return True


def _give_up_unknown(run: Run) -> bool:
    """Leave an unknown job to a worker that knows it, but not for ever."""
    logger.warning("Run %s: no job %s in this process", run.pk, run.job)
    if run.created_at < timezone.now() - settings().unknown_task_patience:
        return end_run(run, None)
    return False


def _end_if_task_has_ended(run: Run) -> bool:
    backend = task_backends[run.backend]
    if not backend.supports_get_result:
        return False
    try:
        result = backend.get_result(run.responsible_task)
    except TaskResultDoesNotExist:
        return end_run(run, None)
    except UnknownTask:
        # A job of newer code: it is for workers that know it.
        return False
    return result.is_finished and end_run(run, result)


def _expire(run: Run) -> bool:
    rows = RunResult.objects.using(run_alias()).filter(run=run).defer("content")
    for row in rows.exclude(key=""):
        storages[row.storage].delete(row.key)
    remove_all(run.pk)
    rows.delete()
    _runs().filter(pk=run.pk).update(version=F("version") + 1)
    return True


def _runs() -> RunQuerySet:
    return Run.objects.using(run_alias())
