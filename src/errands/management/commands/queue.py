"""``manage.py queue``: look at the queues, and act on them."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error
from django.tasks.exceptions import TaskResultDoesNotExist
from django.utils import timezone

from errands.management import command
from errands.queue.backend import DatabaseBackend
from errands.queue.looking.depth import Depth, depths
from errands.queue.looking.listing import Listed, listed
from errands.queue.names import queue_name
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
from errands.tasks.registry import registry
from errands.text import clean_line, counted, describe_exception

ON_QUEUES = {
    "pause": ("paused", "is paused already"),
    "resume": ("resumed", "is not paused"),
}
ON_TASKS = {
    "cancel": ("cancelled, or asked to stop", "has ended"),
    "retry": ("ready again", "has not ended"),
    "discard": ("discarded", "runs now; cancel it"),
}
NEED_THE_TASKS = {"cancel", "discard", "retry"}
STATES = {state.name.lower(): state for state in (*TaskState, *ResultStatus)}
OF_LISTS = ("state", "task", "limit", "ids")
FEW, MOST = 20, 1_000_000
NO_SUCH_TASK = "There is no such task."
NO_LIVE_TASK = "Nothing waits, nothing runs; --state shows what has ended."
KEY_IS_TAKEN = "cannot run again while task {} has its unique key; retry it after that"
OF_A_JOB = "is a job's, whose owner was told how it ended: start the job anew"


class Command(command.Command):
    """Show how much waits, list it, pause and resume queues, retry and cancel tasks."""

    help = (
        "Show the queues; list their tasks; pause or resume a queue; cancel, retry or "
        "discard a task."
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        """Take options anywhere, also between the action and its names."""
        parser = super().create_parser(*args, **kwargs)
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add what to do, and to what."""
        choices = ["show", "list", *ON_QUEUES, *ON_TASKS]
        parser.add_argument("action", nargs="?", default="show", choices=choices)
        what = "queues, or ids of tasks to cancel, retry or discard"
        parser.add_argument("names", nargs="*", metavar="NAME|ID", help=what)
        parser.add_argument("--backend", default="default", help="alias in TASKS")
        listing = parser.add_argument_group("list")
        listing.add_argument(
            "--state", choices=STATES, help="only what is so, or has ended so"
        )
        listing.add_argument("--task", metavar="PATH", help="such as shop.tasks.charge")
        listing.add_argument("--limit", metavar="N", type=int, help="20 by default")
        listing.add_argument(
            "--ids", action="store_true", default=None, help="only their ids"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Make the system checks and ``handle``; both may ask the database."""
        try:
            return super().execute(*args, **options)
        except Error as failed:
            raise CommandError(
                f"The database refuses, and the doctor says more: {clean_line(failed)}"
            ) from failed

    def handle(self, **options: Any) -> None:
        """Show, or do to each name what was asked."""
        action, names = options["action"], options["names"]
        try:
            store = Store(options["backend"])
            if action == "list":
                return self._list(store.alias, names, options)
            _refuse_options_of_lists(action, options)
            if action == "show":
                return self._show(store.alias, names)
        except ValueError as refused:
            raise CommandError(str(refused)) from refused
        if not names:
            what = "NAME" if action in ON_QUEUES else "ID"
            raise CommandError(
                f"Name what to {action}: manage.py queue {action} {what} …"
            )
        return self._on_each(store, action, names)

    def _on_each(self, store: Store, action: str, names: list[str]) -> None:
        """Do it to all of them, whatever comes of one; then tell what failed."""
        act = self._on_queue if action in ON_QUEUES else self._on_task
        if action in NEED_THE_TASKS:
            self._know_the_tasks()
        failed = []
        for name in names:
            try:
                act(store, action, name)
            except (CommandError, ValueError) as failure:
                failed.append(str(failure))
        if failed:
            raise CommandError("\n".join(failed))

    def _know_the_tasks(self) -> None:
        """Import them: of an unknown task's end no receiver is told, no job's run.

        Nor could anybody tell whether it is a job's.
        """
        try:
            registry.load()
        except Exception as error:  # noqa: BLE001 - a site that is broken needs this most
            told = clean_line(describe_exception(error))
            self.complain(f"The site's tasks cannot be loaded: {told}")

    def _show(self, alias: str, names: list[str]) -> None:
        found = depths(alias)
        if names:
            known = {depth.queue: depth for depth in found}
            found = [known.get(name) or Depth(queue_name(name)) for name in names]
        if not found:
            self.say("Nothing waits, nothing runs.")
            return
        width = max(len(depth.queue) for depth in found) + 2
        heads = "".join(f"{state.label!s:>12}" for state in TaskState)
        self.say(f"{'queue':{width}}{heads}   waiting since")
        for depth in found:
            counts = "".join(f"{depth.counts[state]:>12,}" for state in TaskState)
            row = f"{depth.queue:{width}}{counts}   {_waiting(depth)}"
            self.say(row.rstrip())

    def _list(self, alias: str, names: list[str], options: dict[str, Any]) -> None:
        limit = FEW if options["limit"] is None else options["limit"]
        if not 1 <= limit <= MOST:
            raise CommandError(f"--limit is {limit}; it is 1 to {MOST:,}.")
        found = listed(
            alias,
            state=options["state"] and STATES[options["state"]],
            queues=[queue_name(name) for name in names],
            path=options["task"],
            limit=limit + 1,
        )
        for task in found[:limit]:
            self.say(str(task.id) if options["ids"] else _told(task))
        # Past a pipe: its ids may be what another command takes.
        if not found:
            asked = names or options["state"] or options["task"]
            self.complain(NO_SUCH_TASK if asked else NO_LIVE_TASK)
        elif len(found) > limit:
            self.complain(f"There are more than {limit:,}; --limit shows more.")

    def _on_queue(self, store: Store, action: str, name: str) -> None:
        done, unchanged = ON_QUEUES[action]
        took_effect = getattr(store, action)(name)
        self.say(f"Queue {clean_line(name)} {done if took_effect else unchanged}.")

    def _on_task(self, store: Store, action: str, name: str) -> None:
        backend: DatabaseBackend = store.backend
        done, refused = ON_TASKS[action]
        try:
            took_effect = getattr(backend, action)(name)
            holder = None if took_effect else backend.key_holder(name)
        except TaskResultDoesNotExist as missing:
            text = f"There is no task with the id {clean_line(repr(name))}."
            raise CommandError(text) from missing
        if not took_effect:
            if action == "retry" and holder:
                refused = KEY_IS_TAKEN.format(holder)
            elif action == "retry" and backend.is_of_a_job(name):
                refused = OF_A_JOB
            raise CommandError(f"Task {name} {refused}.")
        self.say(f"Task {name} {done}.")


def _refuse_options_of_lists(action: str, options: dict[str, Any]) -> None:
    for name in OF_LISTS:
        if options[name] is not None:
            raise CommandError(f"--{name} belongs to 'queue list', not to '{action}'.")


def _told(task: Listed) -> str:
    """Return a line of a task, and another of its last error."""
    when = f"{timezone.localtime(task.when):%Y-%m-%d %H:%M:%S}"
    attempts = counted(task.attempts, "attempt")
    line = f"{task.id}  {task.state:9}  {when}  {task.queue}  {task.path}  {attempts}"
    return f"{line}\n    {task.error}" if task.error else line


def _waiting(depth: Depth) -> str:
    if depth.is_paused:
        return "paused"
    if depth.waiting_since is None:
        return ""
    return f"{timezone.localtime(depth.waiting_since):%Y-%m-%d %H:%M:%S}"
