"""The work itself: is there a worker, and does everything find one?"""

import shlex
from collections.abc import Iterator
from datetime import timedelta

from errands import instants
from errands.doctor.findings import Finding, error, ok, warning
from errands.queue.living.liveness import living
from errands.queue.looking.depth import depths
from errands.queue.models import TaskRow
from errands.queue.states import TaskState
from errands.tasks.registry import registry
from errands.text import clean_line, counted

LONG_WAIT = timedelta(minutes=1)
MOST_NAMED = 5


def workers(alias: str) -> Iterator[Finding]:
    """Count the workers that live."""
    # Workers may be written down elsewhere: without a table of tasks it raises here.
    TaskRow.objects.using(alias).exists()
    names = sorted(living(alias).values())
    if names:
        listed = ", ".join(names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")
        noun = "process lives" if len(names) == 1 else "processes live"
        yield ok(f"{len(names)} worker {noun} on {alias!r}: {listed}.")
    else:
        yield error(
            f"No worker lives on {alias!r}: tasks wait.",
            "Start manage.py worker, under something that restarts it.",
        )


def queues(alias: str) -> Iterator[Finding]:
    """Look for queues whose tasks nobody takes."""
    for depth in depths(alias):
        ready = counted(depth.counts[TaskState.READY], "ready task")
        if depth.is_paused:
            yield warning(
                f"Queue {depth.queue!r} is paused, with {ready}.",
                f"manage.py queue resume {_quoted(depth.queue)}, when it may go on.",
            )
        elif depth.waiting_since and instants.now() - depth.waiting_since > LONG_WAIT:
            waited = (instants.now() - depth.waiting_since).total_seconds()
            yield warning(
                f"Queue {depth.queue!r}: the oldest of {ready} has waited for "
                f"{counted(round(waited / 60), 'minute')}.",
                "No worker takes this queue or these priorities (--queues, "
                "--min-priority), or there are too few of them.",
            )


def stranded_tasks(alias: str) -> Iterator[Finding]:
    """Look for running tasks whose worker does not live."""
    running = TaskRow.objects.using(alias).filter(state=TaskState.RUNNING)
    holders = set(running.values_list("worker", flat=True).distinct())
    gone = holders - set(living(alias))
    if gone:
        count = running.filter(worker__in=gone).count()
        yield warning(
            f"Workers that do not live hold {counted(count, 'task')} on {alias!r}.",
            "A worker takes back what they hold within the sweep (ERRANDS['SWEEP']); "
            "start one.",
        )


def unknown_tasks(alias: str) -> Iterator[Finding]:
    """Look for tasks that this code does not know."""
    registry.load()
    paths = TaskRow.objects.using(alias).values_list("path", flat=True).distinct()
    unknown = sorted(path for path in paths if registry.find(path) is None)
    for path in unknown[:MOST_NAMED]:
        yield warning(
            f"Tasks of {clean_line(path)!r} wait, which this code does not know.",
            "Deploy the code that has it, name its module in ERRANDS['IMPORTS'], or "
            "cancel them.",
        )


def _quoted(queue: str) -> str:
    """Return a name as a shell takes it, also one that looks like an option."""
    return f"{'-- ' if queue.startswith('-') else ''}{shlex.quote(queue)}"


EXAMINATIONS = [workers, queues, stranded_tasks, unknown_tasks]
