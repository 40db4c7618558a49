"""The hand-over between a run and its task.

A run is what a person sees; a task is what an engine delivers. They are two
rows, perhaps in two systems, and one can be lost without the other noticing.
Everything a run promises rests on these four steps.

    the caller            the engine             the attempt
    ──────────            ──────────             ───────────
    INSERT run
      dispatched_at null  (the outbox)
    enqueue ────────────► task(run id, n)
    record dispatched_task
                          claim, token ────────► 2 take over: task_id, token
                                                   UPDATE run, progress …
                                                 3 end: UPDATE run, results
                          settle ◄────────────── return
    4 ended elsewhere ◄── task_finished, or found by a sweep

1. *Out.* ``create`` writes the run in the caller's transaction and enqueues its
   task in that same transaction where the engine's tables are in the run's
   database, on commit elsewhere. The task carries the run's id and the
   *dispatch number* n, which rises whenever a new task is to take over.
2. *In.* ``take_over`` is one UPDATE: WHERE dispatch = n AND (task_id IS NULL OR
   task_id = mine) AND token <= mine AND the run is open. 0 rows means a
   duplicate, a zombie or a run that has ended, and the attempt returns.
3. *End.* ``Possession.succeed/fail/cancelled``: one transaction, fenced by
   (dispatch, task_id, token). Only then does the attempt return its outcome.
4. *Ended elsewhere.* A task can end without its code: crashed too often,
   cancelled while waiting, discarded, gone. ``reconcile`` ends its run, told by
   ``task_finished`` or by the sweep.

The task *responsible* for an open run is ``task_id``, the one that took it over,
or until then ``dispatched_task``, the one that was recorded. Only its end can
end the run from elsewhere; a duplicate that returns ends nothing.

Who may write which row
    caller      INSERT; dispatched_at, dispatched_task; cancel: idle → cancelled,
                attempted → cancelling
    attempt     everything, behind the fence; its own progress and files
    reconcile   open → failed or cancelled, for the end of the responsible task
    sweeps      dispatched_*, as the caller; ends, as reconcile; expired results
No end is ever overwritten: each of them is an UPDATE WHERE the run is open.

If we die
    before the run is committed         nothing happened
    after that, before enqueueing       dispatched_task is null: swept out again
                                        after ``DISPATCH_PATIENCE`` (5 s)
    after enqueueing, before recording  swept out again; one of the two tasks
                                        takes over, the other returns
    before or after taking over         the engine rescues the task, whose next
                                        attempt has a higher token: takes over
    while working, before the end       the same; files without a row are removed
                                        by the end that follows
    after the end, before returning     the rescued attempt finds the run ended,
                                        and returns
    before removing replaced files      they go when the run's results expire or
                                        the run is deleted
Where queue and run share a database, the first three are one transaction.

Not promised: that a job's code runs once (it is at-least-once, only its end is
once); that a run ends on engines that neither send ``task_finished`` in a
process of ours nor can look up a result.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypedDict, Unpack
from uuid import UUID

from django.db import models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from django.tasks import Task, TaskResult
from django.utils import timezone, translation
from django.utils.crypto import get_random_string

from errands.runs.fence import Fence, run_alias
from errands.runs.models import Run, subject_fields
from errands.runs.possession import Possession
from errands.runs.reconcile import end_with
from errands.runs.states import OPEN, State
from errands.tasks.capabilities import shares_database
from errands.tasks.context import current_context
from errands.text import clean_line

logger = logging.getLogger("errands.runs")

DISPATCH_PATIENCE = timedelta(seconds=5)


class Particulars(TypedDict, total=False):
    """What a caller may say about a run besides its job and arguments.

    ``title`` and ``status`` may be lazy translations; they are rendered in the
    run's language and cut to 200 characters.
    """

    owner: Any
    title: object
    status: object
    language: str
    time_zone: str
    base_url: str
    run_after: datetime | None
    subject: models.Model | None
    queue_name: str
    priority: int
    backend: str
    result_expires: timedelta | None
    unique_key: str | None


def create(
    *,
    job_path: str,
    task: Task,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    **particulars: Unpack[Particulars],
) -> Run:
    """Write a run and dispatch its task, in the caller's transaction.

    ``args`` and ``kwargs`` are plain JSON already. What the engine refuses
    outright, such as a queue it does not have, raises here; an engine outside
    the run's database that cannot be reached is tried again by a sweep.
    """
    alias = run_alias()
    arguments = json.dumps({"args": list(args), "kwargs": dict(kwargs)})
    run = Run(job=job_path, arguments=arguments, **_columns(**particulars))
    task = configured(task, run)
    with transaction.atomic(using=alias):
        run.save(using=alias, force_insert=True)
        if shares_database(task.get_backend(), alias):
            dispatch(run, task)
        else:
            send = partial(dispatch, run, task)
            transaction.on_commit(send, using=alias, robust=True)
    return run


def configured(task: Task, run: Run) -> Task:
    """Return the task as this run wants it delivered."""
    return task.using(
        backend=run.backend,
        queue_name=run.queue_name,
        priority=run.priority,
        run_after=run.run_after,
    )


def dispatch(run: Run, task: Task) -> None:
    """Enqueue the run's configured task and record that it was.

    On an immediate engine the job has ended when ``enqueue`` returns; what is
    recorded then is only for the archive.
    """
    with _one_transaction_if_shared(task):
        result = task.enqueue(str(run.pk), run.dispatch)
        _record(run, result)
    if result.is_finished:
        end_with(result)
        run.refresh_from_db(using=run_alias())


def take_over(run_id: str | UUID, dispatch: int) -> Possession | None:
    """Make the current attempt the one that may write to the run.

    None for a duplicate, a zombie, and a run that has ended or is deleted: the
    caller returns at once. A run somebody wants cancelled is ended here.
    """
    fence = _fence_of_this_attempt(UUID(str(run_id)), dispatch)
    run = fence.runs().first() if _took_over(fence) else None
    if run is None:
        logger.info("Run %s: task id=%s has no part in it", run_id, fence.task_id)
        return None
    possession = Possession(run, fence)
    # Before the first count, so that nobody takes the former attempt's for ours.
    possession.progress.write()
    if run.state == State.CANCELLING:
        possession.cancelled()
        return None
    return possession


def _took_over(fence: Fence) -> bool:
    mine = Q(task_id=None) | Q(task_id=fence.task_id)
    changed = (
        Run.objects.using(run_alias())
        .filter(mine, pk=fence.run_id, dispatch=fence.dispatch)
        .filter(token__lte=fence.token, state__in=OPEN)
        .update(
            # What a former attempt left to be shown in between is over. First,
            # because MySQL reads below here what has been assigned above.
            status=Case(When(attempt=0, then=F("status")), default=Value("")),
            task_id=fence.task_id,
            token=fence.token,
            attempt=F("attempt") + 1,
            state=Case(
                When(state=State.CANCELLING, then=Value(State.CANCELLING)),
                default=Value(State.RUNNING),
            ),
            is_interrupted=False,
            started_at=Coalesce("started_at", Value(timezone.now())),
            version=F("version") + 1,
        )
    )
    return bool(changed)


def _fence_of_this_attempt(run_id: UUID, dispatch: int) -> Fence:
    context = current_context()
    if context is None:
        # The engine tells nothing about its attempts: the first one to come
        # keeps the run, and none can follow it.
        return Fence(run_id, dispatch, task_id=get_random_string(32), token=0)
    token = context.token or context.attempt
    return Fence(run_id, dispatch, task_id=context.task_result.id, token=token)


def _record(run: Run, result: TaskResult) -> None:
    run.dispatched_at, run.dispatched_task = timezone.now(), result.id
    recorded = {"dispatched_at": run.dispatched_at, "dispatched_task": result.id}
    runs = Run.objects.using(run_alias())
    runs.filter(pk=run.pk, dispatch=run.dispatch).update(**recorded)


def _one_transaction_if_shared(task: Task) -> AbstractContextManager[object]:
    alias = run_alias()
    if shares_database(task.get_backend(), alias):
        return transaction.atomic(using=alias)
    # Elsewhere a transaction would stay open while the engine answers, and on
    # an immediate one while the job works.
    return nullcontext()


def _check_subject(subject: models.Model) -> None:
    if subject._state.adding or subject.pk is None:
        raise ValueError(
            f"The subject, this {subject._meta.label}, is not saved, so nobody could "
            "find the run by it. Save it first."
        )


def _columns(**particulars: Unpack[Particulars]) -> dict[str, Any]:
    columns: dict[str, Any] = dict(particulars)
    with translation.override(columns.get("language") or translation.get_language()):
        for name in columns.keys() & {"title", "status"}:
            columns[name] = clean_line(columns[name])
    subject = columns.pop("subject", None)
    if subject is not None:
        columns |= subject_fields(subject)
        _check_subject(subject)
    run_after = columns.get("run_after")
    if run_after is not None and run_after > timezone.now():
        columns["state"] = State.SCHEDULED
    return columns
