"""What a worker was told: parsed once, passed on to its children as JSON."""

import json
import os
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import InitVar, asdict, dataclass, field, fields, replace
from typing import Any

from django.tasks.base import TASK_MAX_PRIORITY, TASK_MIN_PRIORITY

from errands.conf import LONGEST, MOST_COROUTINES, MOST_THREADS, settings
from errands.queue.claiming.selection import EVERY_QUEUE, Selection
from errands.text import clean_line
from errands.worker.memory import resident_megabytes

AS_MANY_AS_YOU_LIKE = 10**12
BOUNDS = {
    "processes": (1, 1_000),
    "threads": (1, MOST_THREADS),
    "coroutines": (1, MOST_COROUTINES),
    "limit": (1, AS_MANY_AS_YOU_LIKE),
    "max_tasks": (1, AS_MANY_AS_YOU_LIKE),
    "max_rss": (1, AS_MANY_AS_YOU_LIKE),
    "min_priority": (TASK_MIN_PRIORITY, TASK_MAX_PRIORITY),
    "max_priority": (TASK_MIN_PRIORITY, TASK_MAX_PRIORITY),
}
LONGEST_GRACE = round(LONGEST.total_seconds())
TYPES: Mapping[Any, str] = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    int | None: "a whole number, or None",
    float: "a number of seconds",
}
# Of the 100 a worker's row has room for, the rest numbers its processes.
NAME_LIMIT = 80
QUARANTINE_PATIENCE = 15.0


def _threads() -> int:
    return settings().threads


def _coroutines() -> int:
    return settings().coroutines


def _grace() -> float:
    return settings().grace.total_seconds()


type Naming = Callable[[str], str]


def as_keyword(option: str) -> str:
    """Return what an option is called in Python."""
    return option


def as_argument(option: str) -> str:
    """Return what an option is called on a command line."""
    return f"--{option.replace('_', '-')}"


def is_of(kind: Any, value: object) -> bool:
    """Return whether a value is of a type; True is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, float | int if kind is float else kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options of ``manage.py worker``."""

    backend: str = "default"
    """The ``TASKS`` alias whose tasks are run."""

    queues: str = EVERY_QUEUE
    """Queue names in strict order, ``mail*``, ``*``, and pools: ``mail:2,*``."""

    min_priority: int | None = None
    """Leave tasks below it to other workers."""

    max_priority: int | None = None
    """Leave tasks above it to other workers."""

    processes: int = 1
    """Child processes."""

    threads: int = field(default_factory=_threads)
    """Tasks that run at the same time in one process."""

    coroutines: int = field(default_factory=_coroutines)
    """Tasks written with ``async def`` that run besides, in one process."""

    burst: bool = False
    """End when nothing is ready, due or running any more."""

    limit: int | None = None
    """End after this many attempts, shared out evenly among the processes."""

    max_tasks: int | None = None
    """Replace a process after about so many attempts."""

    max_rss: int | None = None
    """Replace a process that holds more megabytes of memory."""

    grace: float = field(default_factory=_grace)
    """Seconds that running tasks may go on after a stop was asked for."""

    name: str = ""
    """How the worker is called in results; empty for ``host:pid``."""

    supervisor: int | None = None
    """The pid of the process that rescues what a child of it held."""

    lifeline: bool = False
    """Stop when standard input ends."""

    quarantine: bool = False
    """Run suspects, one at a time, until none waits; for a supervisor to say."""

    quarantine_patience: float = 0.0
    """Seconds that a quarantine process waits for more of them."""

    is_typed: InitVar[bool] = False
    """Whether somebody typed them on a command line; errors name them as written."""

    def __post_init__(self, is_typed: bool) -> None:
        named = as_argument if is_typed else as_keyword
        self._check_types(named)
        self._check_numbers(named)
        self._check_name(named("name"))
        if self.executors > MOST_THREADS:
            raise ValueError(
                f"{named('queues')} {self.queues!r} and {named('threads')} "
                f"{self.threads} make {self.executors:,} threads in each process; up to "
                f"{MOST_THREADS:,} are possible. Use more processes."
            )

    def _check_types(self, named: Naming) -> None:
        """Refuse what only Python can tell us; a command line has been parsed."""
        for option in fields(self):
            value = getattr(self, option.name)
            if not is_of(option.type, value):
                name, kind = named(option.name), TYPES[option.type]
                raise TypeError(f"{name} is {value!r}; it takes {kind}.")

    def _check_numbers(self, named: Naming) -> None:
        for option, (least, most) in BOUNDS.items():
            value = getattr(self, option)
            if value is not None and not least <= value <= most:
                raise ValueError(
                    f"{named(option)} is {value:,}; it takes {least:,} to {most:,}."
                )
        if self.max_rss is not None and resident_megabytes() is None:
            raise ValueError(
                f"{named('max_rss')} needs /proc, which this system has not."
            )
        # Written so that it refuses NaN too.
        if not 0 <= self.grace <= LONGEST_GRACE:
            raise ValueError(
                f"{named('grace')} is {self.grace:g}; it takes 0 to "
                f"{LONGEST_GRACE:,} seconds."
            )

    def _check_name(self, named: str) -> None:
        # A child's is longer, and has been checked before.
        if len(self.name) > NAME_LIMIT and self.supervisor is None:
            raise ValueError(
                f"{named} has {len(self.name)} characters; it takes up to {NAME_LIMIT}."
            )
        if self.name != clean_line(self.name):
            raise ValueError(
                f"{named} is {self.name!r}; it takes one line of text, unpadded."
            )

    @property
    def selection(self) -> Selection:
        """What the worker claims."""
        return Selection.parse(
            self.queues,
            min_priority=self.min_priority,
            max_priority=self.max_priority,
        )

    @property
    def executors(self) -> int:
        """Threads that run tasks in one process: those of pools are added up."""
        return self.selection.threads(self.threads)

    @property
    def children(self) -> int:
        """Processes that have something to do: with a limit of 3, a 4th would not."""
        return min(self.processes, self.limit or self.processes)

    @property
    def places(self) -> int:
        """Tasks that can run in one process at the same time."""
        return self.executors + self.coroutines

    def for_child(self, index: int) -> "WorkerOptions":
        """Return what a child is told: its number in the name, its share of the limit."""
        changed: dict[str, Any] = {"supervisor": os.getpid()}
        if self.name and self.processes > 1:
            changed["name"] = f"{self.name}-{index + 1}"
        if self.limit is not None:
            changed["limit"] = len(range(index, self.limit, self.processes))
        return replace(self, **changed)

    def for_quarantine(self, number: int) -> "WorkerOptions":
        """Return what a quarantine process is told: one task at a time."""
        return replace(
            self,
            supervisor=os.getpid(),
            name=f"{self.name}-quarantine-{number + 1}" if self.name else "",
            quarantine=True,
            quarantine_patience=0.0 if self.burst else QUARANTINE_PATIENCE,
            burst=True,
            queues=",".join(term.pattern for term in self.selection.terms),
            processes=1,
            threads=1,
            coroutines=1,
            limit=None,
            max_tasks=None,
        )

    @classmethod
    def of_command(cls, told: Mapping[str, Any]) -> "WorkerOptions":
        """Return what a command line says; it may say more than we know.

        What it says nothing of is None. The defaults are settings, which are
        read here and not when the command line is: an error in them is told.
        """
        known = {option.name for option in fields(cls)} & told.keys()
        said = {name: told[name] for name in known if told[name] is not None}
        return cls(**said, is_typed=True)

    def dump(self) -> str:
        """Return the options as JSON, for a child's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "WorkerOptions":
        """Read what ``dump`` returned."""
        return cls(**json.loads(text))


NUMBERS = {
    "processes": "at a time",
    "threads": "tasks at a time in each process",
    "coroutines": "async tasks besides, in each process",
    "min-priority": "leave what is below to others",
    "max-priority": "leave what is above to others",
    "limit": "end after N attempts",
    "max-tasks": "replace a process after about N attempts",
    "max-rss": "replace a process that holds more than N megabytes",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the worker's options to a command."""
    add = parser.add_argument
    add("--backend", help="alias in TASKS")
    add("--queues", help="in strict order, with pools: mail:2,default,*")
    for name, what in NUMBERS.items():
        add(f"--{name}", type=int, metavar="N", help=what)
    add("--burst", action="store_true", help="end when nothing is left to do")
    stopping = "seconds that running tasks have when the worker stops"
    add("--grace", type=float, help=stopping)
    add("--name", help="in results; default host:pid")
    add("--lifeline", action="store_true", help="stop when standard input ends")
