"""What a worker was told: parsed once, passed on to its children as JSON."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from errands.conf import settings
from errands.queue.claims import EVERY_QUEUE, Selection


def _threads() -> int:
    return settings().threads


def _grace() -> float:
    return settings().grace.total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options of ``manage.py worker``."""

    backend: str = "default"
    """The ``TASKS`` alias whose tasks are run."""

    queues: str = EVERY_QUEUE
    """Queue names in strict order, ``*`` for every other one."""

    min_priority: int | None = None
    """Leave tasks below it to other workers."""

    max_priority: int | None = None
    """Leave tasks above it to other workers."""

    processes: int = 1
    """Child processes."""

    threads: int = field(default_factory=_threads)
    """Tasks that run at the same time in one process."""

    burst: bool = False
    """End when nothing is ready, due or running any more."""

    limit: int | None = None
    """End after this many attempts, shared out evenly among the processes."""

    grace: float = field(default_factory=_grace)
    """Seconds that running tasks may go on after a stop was asked for."""

    name: str = ""
    """How the worker is called in results; empty for ``host:pid``."""

    lifeline: bool = False
    """Stop when standard input ends."""

    def __post_init__(self) -> None:
        for option in ("processes", "threads", "limit"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f"--{option} is {value}; it takes 1 or more.")
        if self.grace < 0:
            raise ValueError(f"--grace is {self.grace:g}; it takes 0 or more seconds.")
        _ = self.selection

    @property
    def selection(self) -> Selection:
        """What the worker claims."""
        return Selection.parse(
            self.queues,
            min_priority=self.min_priority,
            max_priority=self.max_priority,
        )

    def for_child(self, index: int) -> "WorkerOptions":
        """Return what a child is told: its number in the name, its share of the limit."""
        changed: dict[str, Any] = {}
        if self.name and self.processes > 1:
            changed["name"] = f"{self.name}-{index + 1}"
        if self.limit is not None:
            changed["limit"] = len(range(index, self.limit, self.processes))
        return replace(self, **changed)

    def dump(self) -> str:
        """Return the options as JSON, for a child's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "WorkerOptions":
        """Read what ``dump`` returned."""
        return cls(**json.loads(text))
