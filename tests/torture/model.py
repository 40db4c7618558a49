"""What the queue should hold: the protocol in plain Python, without SQL."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from errands.queue.states import ResultStatus, TaskState

CRASHES, RELEASES = 2, 2
KEEP_SUCCEEDED, KEEP_FAILED = 350, 750


@dataclass
class Modelled:
    """One task as it should be."""

    uuid: UUID
    order: int
    queue: str
    priority: int
    due: int
    state: TaskState | None
    max_attempts: int
    status: ResultStatus | None = None
    attempt: int = 0
    crashes: int = 0
    releases: int = 0
    token: int = 0
    worker: str | None = None
    ended_at: int = 0
    keep: int | None = None
    is_unkept: bool = False
    is_dropped: bool = False
    unique: str | None = None
    key: str = ""
    limit: int = 0
    at_most_once: bool = False
    has_begun: bool = False
    is_suspect: bool = False
    has_just_crashed: bool = False
    cancel_asked: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether it is live and nobody runs it."""
        return self.state not in {None, TaskState.RUNNING}

    @property
    def own_keep(self) -> int | None:
        """How long its result is kept, if the site does not say it."""
        has_succeeded = self.status == ResultStatus.SUCCEEDED
        return 0 if self.is_unkept and has_succeeded else self.keep

    @property
    def rank(self) -> tuple[int, int]:
        """What comes first runs first."""
        return -self.priority, self.order

    @property
    def row(self) -> tuple[object, ...]:
        """What a table should hold of it."""
        return (
            self.state,
            self.status,
            self.queue,
            self.priority,
            self.attempt,
            self.crashes,
            self.token,
            self.worker,
        )


@dataclass
class Model:
    """All tasks, and the seconds that have passed."""

    now: int = 0
    tasks: dict[UUID, Modelled] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def live(self, *states: TaskState) -> list[Modelled]:
        """Return live tasks of these states, of any without one, first first."""
        chosen = [
            task
            for task in self.tasks.values()
            if task.state is not None and (not states or task.state in states)
        ]
        return sorted(chosen, key=lambda task: task.rank)

    def ended(self) -> list[Modelled]:
        """Return the tasks that are results."""
        tasks = self.tasks.values()
        return [task for task in tasks if task.status and not task.is_dropped]

    def running(self, worker: str) -> list[Modelled]:
        """Return what a worker holds."""
        return [task for task in self.live(TaskState.RUNNING) if task.worker == worker]

    def candidates(self, queues: Iterable[str]) -> Iterator[Modelled]:
        """Yield what a claim may take, in the order it takes it.

        While a queue is paused the others are taken one after the other.
        """
        ready = self.live(TaskState.READY)
        if self.paused:
            ready.sort(key=lambda task: task.queue)
        seen = set()
        for queue in queues:
            for task in ready:
                is_open = task.queue not in self.paused and task.uuid not in seen
                if is_open and queue in {"*", task.queue}:
                    seen.add(task.uuid)
                    yield task

    def claimable(self, queues: Iterable[str], limit: int) -> list[Modelled]:
        """Return what a claim takes: past tasks whose key is full."""
        chosen: list[Modelled] = []
        for task in self.candidates(queues):
            beside = [*self.live(TaskState.RUNNING), *chosen]
            of_key = sum(other.key == task.key for other in beside)
            if len(chosen) < limit and (not task.key or of_key < task.limit):
                chosen.append(task)
        return chosen

    def first_suspect(self) -> Modelled | None:
        """Return the suspect that runs next, if one can."""
        for task in self.live(TaskState.SUSPECT):
            running = self.live(TaskState.RUNNING)
            has_slot = sum(other.key == task.key for other in running) < task.limit
            is_free = task.queue not in self.paused and task.due <= self.now
            if is_free and (has_slot or not task.key):
                return task
        return None

    def owner(self, unique: str) -> Modelled | None:
        """Return the live task that has a unique key."""
        return next((task for task in self.live() if task.unique == unique), None)

    def claim(self, task: Modelled, worker: str) -> None:
        """Give a task to a worker."""
        task.state, task.worker = TaskState.RUNNING, worker
        task.attempt += 1
        task.token += 1

    def finish(self, task: Modelled, status: ResultStatus) -> None:
        """End a task."""
        task.state, task.status, task.worker = None, status, None
        task.ended_at = self.now

    def drop(self, task: Modelled) -> None:
        """End a task as succeeded, without a result."""
        self.finish(task, ResultStatus.SUCCEEDED)
        task.is_dropped = True

    def requeue(self, task: Modelled, *, after: int | None = None) -> None:
        """Make a task wait again, at once or for some seconds.

        One that somebody cancelled waits for nothing but its end.
        """
        task.worker = None
        if after is not None:
            task.due = self.now + after
        if task.cancel_asked:
            task.state = TaskState.READY
        elif task.is_suspect:
            task.state = TaskState.SUSPECT
        else:
            task.state = TaskState.READY if after is None else TaskState.SCHEDULED

    def retry(self, task: Modelled, *, after: int) -> None:
        """Try again later, after an exception: so it did not kill its process."""
        task.is_suspect = task.has_just_crashed = False
        self.requeue(task, after=after)

    def release(self, task: Modelled, *, after: int | None = None) -> None:
        """Give a claim back; the attempt was none, unless it was the only one."""
        if task.has_begun:
            self.finish(task, ResultStatus.LOST)
            return
        task.attempt -= 1
        self.requeue(task, after=after)

    def crash(self, task: Modelled, *, with_host: bool = False) -> None:
        """Count the death of the process that ran a task."""
        task.crashes += 1
        if task.crashes >= CRASHES and not task.has_begun:
            self.finish(task, ResultStatus.CRASHED)
            return
        task.is_suspect = not with_host or task.has_just_crashed
        task.has_just_crashed = True
        self.release(task)

    def interrupt(self, task: Modelled) -> None:
        """Give back a task that had started; past the cap that is a crash."""
        if task.releases < RELEASES:
            task.releases += 1
            self.release(task)
        elif task.crashes + 1 < CRASHES:
            self.crash(task)
        else:
            task.crashes += 1
            self.finish(task, ResultStatus.CRASHED)

    def revive(self, task: Modelled) -> None:
        """Make a result a live task again."""
        task.state, task.status = TaskState.READY, None
        task.attempt = task.crashes = task.releases = 0
        task.cancel_asked = task.has_begun = False
        task.is_suspect = task.has_just_crashed = False

    def prune(self) -> int:
        """Forget results that are older than they are kept; return how many."""
        old = [task for task in self.ended() if self.is_expired(task)]
        for task in old:
            del self.tasks[task.uuid]
        return len(old)

    def is_expired(self, task: Modelled) -> bool:
        """Return whether a result is older than it is kept."""
        has_succeeded = task.status == ResultStatus.SUCCEEDED
        site = KEEP_SUCCEEDED if has_succeeded else KEEP_FAILED
        keep = site if task.own_keep is None else task.own_keep
        return task.status is not None and task.ended_at + keep <= self.now

    def stage(self) -> int:
        """Make due tasks ready; return how many."""
        due = [task for task in self.live(TaskState.SCHEDULED) if task.due <= self.now]
        for task in due:
            task.state = TaskState.READY
        return len(due)


def picked[T](among: Sequence[T], number: int) -> T | None:
    """Return one of several by any number, None of none."""
    return among[number % len(among)] if among else None


def seconds(count: int) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=count)
