"""``assert_enqueued``: what waits, and if it does not, what waits instead."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from django.db import connections
from django.tasks import TaskResult, task_backends

from errands.queue.backend import DatabaseBackend
from errands.queue.models import ResultRow
from errands.queue.states import ResultStatus
from errands.runs.handover import dispatch
from errands.testing.asking import Target
from errands.testing.expecting import KNOWN, Wanted, refuse_unknown
from errands.testing.waiting import Waiting, waiting_in
from errands.text import counted

MOST_SHOWN = 10
OURS = ("errands.queue.", "errands.runs.", "errands.worker.")


class Expected(TypedDict, total=False):
    """What an assertion says about a call besides which task it is of."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    queue_name: str
    priority: int
    run_after: datetime | timedelta | None


def assert_enqueued(
    task: Target, /, *, count: int | None = None, **expected: Unpack[Expected]
) -> list[TaskResult]:
    """Fail unless a call of the task waits; return the results of those that do.

    ``args`` and ``kwargs`` are written as in the call; parameters they do not
    mention may be anything, names that ``**`` takes among them, and
    ``unittest.mock.ANY`` is allowed. Besides ``queue_name``, ``priority`` and
    ``run_after``: an instant, a timedelta from the call (to the second), or
    None for "at once". What ``using`` changed of these is expected too, unless
    a keyword says otherwise, and so are our own options that it changed.
    ``count`` is how many must wait; without it, one or more. ``task`` may be a
    job class, with the arguments of its ``start``.

    What has been run does not wait any more. The message shows what waits
    instead, nearest first.
    """
    __tracebackhide__ = True
    refuse_unknown("assert_enqueued", expected, known=(*KNOWN, "count"))
    _check_count(count)
    wanted = Wanted.parse("assert_enqueued", task, expected)
    waiting = waiting_in(wanted.backend)
    found = [each for each in waiting if not wanted.differences(each)]
    if len(found) == count or (count is None and found):
        return [wanted.backend.get_result(each.id) for each in found]
    raise AssertionError("\n".join(_missing(wanted, waiting, len(found), count=count)))


def assert_not_enqueued(
    task: Target | None = None, /, **expected: Unpack[Expected]
) -> None:
    """Fail if such a call waits; it is described as for ``assert_enqueued``.

    Without a task: if anything waits in the default backend.
    """
    __tracebackhide__ = True
    known = () if task is None else KNOWN
    refuse_unknown("assert_not_enqueued", expected, known=known)
    if task is None:
        found, what = waiting_in(task_backends["default"]), "Nothing"
    else:
        wanted = Wanted.parse("assert_not_enqueued", task, expected)
        found = [e for e in waiting_in(wanted.backend) if not wanted.differences(e)]
        what = f"No {wanted}"
    if found:
        lines = [f"{what} should wait, but {_tasks(len(found))}:", *_listed(found)]
        raise AssertionError("\n".join(lines))


def _check_count(count: object) -> None:
    if count is not None and type(count) is not int:
        raise TypeError(
            f"assert_enqueued() got count={count!r}; it takes an int, or None."
        )
    if count is not None and count < 0:
        raise ValueError(f"assert_enqueued() got count={count}; it takes 0 or more.")


def _missing(
    wanted: Wanted, waiting: list[Waiting], found: int, *, count: int | None
) -> list[str]:
    alias = wanted.backend.alias
    needed = "No" if count is None else f"Not {count} but {found}"
    lines = [f"{needed} {wanted} {'waits' if found < 2 else 'wait'}."]
    if waiting:
        near = wanted.nearest_first(waiting)
        lines += [f"In TASKS[{alias!r}] {_tasks(len(near))}, nearest first:"]
        lines += _listed(near, wanted)
    else:
        lines += [f"In TASKS[{alias!r}] no task waits."]
    return [*lines, *_hints(wanted)]


def _listed(waiting: list[Waiting], wanted: Wanted | None = None) -> list[str]:
    lines = []
    for each in waiting[:MOST_SHOWN]:
        differs = wanted.differences(each) if wanted else []
        told = "; ".join(differs) or "matches"
        lines.append(f"  {each}" + (f"\n    {told}" if wanted else ""))
    if len(waiting) > MOST_SHOWN:
        lines.append(f"  … and {len(waiting) - MOST_SHOWN} more")
    return lines


def _hints(wanted: Wanted) -> list[str]:
    """Return what may have become of the call."""
    if not isinstance(wanted.backend, DatabaseBackend):
        return []
    alias, hints = wanted.backend.database_alias, []
    ended = ResultRow.objects.using(alias).filter(path=wanted.path)
    statuses = Counter(ended.values_list("status", flat=True))
    if statuses:
        told = ", ".join(f"{n} {ResultStatus(s).label}" for s, n in statuses.items())
        hints.append(f"Calls of it that have ended, and so do not wait: {told}.")
    if hooks := _hooks():
        hints.append(
            f"{counted(hooks, 'on_commit hook')} of this test's transaction may not have "
            "been called: it never commits. Put captureOnCommitCallbacks(execute=True) "
            "around what enqueues on commit."
        )
    return hints


def _hooks() -> int:
    """Return how many hooks there are, of the site or to send a job to its queue.

    All others of ours only wake workers, or tidy up. A task for a queue in another
    database waits for the transaction of the site's.
    """
    opened = connections.all(initialized_only=True)
    hooks = [hook[1] for each in opened for hook in each.run_on_commit]
    functions = [getattr(hook, "func", hook) for hook in hooks]
    homes = [getattr(function, "__module__", "") or "" for function in functions]
    return sum(home == dispatch.__module__ or not home.startswith(OURS) for home in homes)


def _tasks(number: int) -> str:
    return "1 task waits" if number == 1 else f"{number} tasks wait"
