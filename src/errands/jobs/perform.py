"""The worker's side of a job: take the run over, perform, end the run.

    take_over ──► perform ──► kept(outcome) ──► succeed ──► return
                     │ raises                                 │
                     └──► fail / retry_later / interrupted /  └─► the engine settles
                          cancelled ──► raise it again

The run is always ended before the task: if the process dies in between, the
rescued attempt finds an ended run and returns at once. What was raised is
raised again, so that the task ends as its run did. An attempt that no longer
owns the run writes nothing and says so in the log only.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.db import Error, InterfaceError, OperationalError
from django.tasks import TaskContext as DjangoTaskContext
from django.utils.translation import gettext as _

from errands.arguments import decode_call
from errands.conf import settings
from errands.exceptions import (
    JobError,
    LeaseLost,
    RecordGone,
    TaskCancelled,
    TaskInterrupted,
)
from errands.jobs.attributes import options_of
from errands.jobs.job import Job
from errands.jobs.keeping import kept
from errands.jobs.site import mounted_at
from errands.runs.handover import take_over
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.tasks.attempt import judge
from errands.tasks.carried import activated
from errands.tasks.context import TaskContext, attempting
from errands.tasks.forks import staying_in_this_process
from errands.tasks.outcomes import Retry
from errands.tasks.task import Task
from errands.text import describe_exception

logger = logging.getLogger("errands.jobs")


_tasks: dict[type[Job], Task] = {}


def task_of(job: type[Job]) -> Task:
    """Return the task of a job class; its path is the path of the class."""
    if job not in _tasks:
        _tasks[job] = new_task(job)
    return _tasks[job]


def new_task(job: type[Job]) -> Task:
    """Make a function that goes by the name of the class, and a task of it.

    Raises what the job's backend has against it: ``InvalidTask``.
    """

    def attempt(context: DjangoTaskContext, run_id: str, dispatch: int) -> None:
        perform(job, context, run_id=run_id, dispatch=dispatch)

    attempt.__module__ = job.__module__
    attempt.__qualname__ = job.__qualname__
    attempt.__name__ = job.__name__
    attempt.__doc__ = job.__doc__
    return Task(
        func=attempt,
        queue_name=job.queue_name,
        priority=job.priority,
        backend=job.backend,
        takes_context=True,
        # A run is ended by its own protocol, so the job stops at its checkpoints.
        is_cooperative=True,
        options=options_of(job),
    )


def perform(
    job: type[Job], context: DjangoTaskContext, *, run_id: str, dispatch: int
) -> None:
    """Make one attempt at a run, and end the run before returning."""
    attempt = _with_token(context)
    with attempting(attempt):
        possession = _taken_over(run_id, dispatch)
        if possession is None:
            return
        try:
            _perform_and_end(job, possession, attempt)
        except LeaseLost:
            with suppress(Error):  # in an outage too, it returns quietly
                possession.abandon()
            logger.warning(
                "Run %s: attempt %s lost its lease and changed nothing more",
                run_id,
                possession.attempt,
            )


def _taken_over(run_id: str, dispatch: int) -> Possession | None:
    """Take the run over; an outage at this very moment costs no attempt.

    Nothing has been done yet, so the task is released and attempted again, when
    the database is back.
    """
    try:
        return take_over(run_id, dispatch)
    except (OperationalError, InterfaceError) as outage:
        raise TaskInterrupted("The run could not be taken over.") from outage


def _with_token(context: DjangoTaskContext) -> TaskContext:
    """Return our context; on another engine, the attempt's number is the token."""
    if isinstance(context, TaskContext):
        return context
    return TaskContext(task_result=context.task_result, token=context.attempt)


def _perform_and_end(
    job: type[Job], possession: Possession, context: TaskContext
) -> None:
    with _as_started(possession.run):
        try:
            _succeed(possession, _outcome(job, possession))
        except LeaseLost:
            raise
        except TaskInterrupted:
            # Without it the page says "running" until the next attempt.
            with suppress(Error):
                possession.interrupted()
            raise
        except TaskCancelled:
            possession.cancelled()
            raise
        except BaseException as error:
            _end_in_error(error, job, possession, context=context)
            raise


@contextmanager
def _as_started(run: Run) -> Iterator[None]:
    """Work in the language and time zone, and for the host, of the start."""
    carried = {"language": run.language, "time_zone": run.time_zone}
    with ExitStack() as stack:
        stack.enter_context(activated({k: text for k, text in carried.items() if text}))
        stack.enter_context(mounted_at(run.base_url or settings().base_url))
        yield


def _outcome(job: type[Job], possession: Possession) -> dict[str, Any] | None:
    arguments = json.loads(possession.run.arguments)
    args, kwargs = decode_call(arguments["args"], arguments["kwargs"])
    bound = job(possession)
    with staying_in_this_process():
        outcome = bound.perform(*args, **kwargs)
    return kept(outcome, bound)


def _succeed(possession: Possession, outcome: dict[str, Any] | None) -> None:
    """End the run well; an outage at this very moment costs no attempt.

    The work is done but cannot be recorded, so it is released and done again,
    when the database is back.
    """
    try:
        possession.succeed(outcome)
    except (OperationalError, InterfaceError) as outage:
        raise TaskInterrupted("The end of the run could not be written.") from outage


def _end_in_error(
    error: BaseException,
    job: type[Job],
    possession: Possession,
    *,
    context: TaskContext,
) -> None:
    """Tell the owner what happened, in a text that gives nothing away.

    While attempts remain the run is given back for the next one instead.
    """
    run = possession.run
    verdict = judge(error, task_of(job), context.task_result)
    if isinstance(verdict, Retry):
        logger.warning("Run %s: attempt %s failed", run.pk, run.attempt, exc_info=error)
        possession.retry_later(verdict.after)
    elif isinstance(error, JobError):
        logger.info("Run %s ended with a JobError, %s", run.pk, run.reference)
        text = describe_exception(error) or _("Something went wrong on our side.")
        possession.fail(text, run.reference)
    elif isinstance(error, RecordGone):
        logger.info("Run %s: its record is gone, %s", run.pk, run.reference)
        possession.fail(_("What this was about no longer exists."), run.reference)
    else:
        # As an ERROR it would come twice to error trackers, who have it of the task.
        logger.warning(
            "Run %s of %s failed, %s", run.pk, run.job, run.reference, exc_info=error
        )
        possession.fail(_("Something went wrong on our side."), run.reference)
