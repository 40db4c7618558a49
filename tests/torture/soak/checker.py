"""What became of every task, held against what the queue promises.

A second start of a task is explained when the attempt before it raised, when its
process was dead, or when its lease had expired by the database's clock. Of a lease
that expired while the database was away there may be no row any more: if its process
was killed later, its supervisor has removed it. A task in a transaction may also run
again when an outage hid the answer to its COMMIT.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.torture.soak.ledger import Event
from tests.torture.soak.nemesis import LEASE_SECONDS, Deeds

SUCCEEDED = 1
OUTAGE_SECONDS = 5.0
# What a heartbeat may have left of its lease when the database goes, and what a
# heartbeat may miss between two outages.
HEARTBEAT_SECONDS, GAP_SECONDS = 0.5, 1.0
RECENT_SECONDS = 30.0
BEFORE_SECONDS = 1.0
# A task notes that it ends its process; until it has, other threads begin tasks.
EXIT_SECONDS = 0.5
EXAMPLES = 10
SLOWEST = 3
BARS = (
    "lost",
    "phantom",
    "unexplained_duplicates",
    "duplicate_transactional_effects",
    "attempts_overrun",
    "stuck",
)

type Kinds = dict[str, list[Event]]


@dataclass
class Database:
    """What the database says in the end."""

    statuses: dict[str, int]
    tokens: dict[str, int]
    live: int
    effects: Counter[str]
    transactional: set[str]
    leases: dict[int, list[tuple[float, float]]]


@dataclass
class Verdict:
    """How many of each kind of wrong there were, and how long recovery took."""

    tasks: int = 0
    lost: int = 0
    phantom: int = 0
    duplicates: int = 0
    unexplained_duplicates: int = 0
    duplicate_transactional_effects: int = 0
    attempts_overrun: int = 0
    stuck: int = 0
    recoveries: list[tuple[float, str]] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    slowest: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return how long that share of the recoveries took at most."""
        ordered = sorted(self.recoveries) or [(0.0, "")]
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)][0]

    @property
    def broken(self) -> list[str]:
        """The bars that are broken."""
        return [bar for bar in BARS if getattr(self, bar)]


class Checker:
    """Compares the ledger, the nemesis' deeds and the database."""

    def __init__(self, events: Iterable[Event], deeds: Deeds, database: Database) -> None:
        self.deeds, self.database = deeds, database
        self.verdict = Verdict()
        self.of: dict[str, dict[str, list[Event]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self.deaths = dict(deeds.killed)
        self.outages = joined(deeds.outages)
        for event in sorted(events, key=lambda event: event.at):
            self.of[event.task][event.kind].append(event)
            if event.kind == "X":
                ended = event.at + EXIT_SECONDS
                self.deaths.setdefault(event.pid, (event.at, ended))

    def check(self, *, max_attempts: int) -> Verdict:
        """Judge every task."""
        verdict = self.verdict
        self.unknown = len(self.of.pop("-", {}).get("U", []))
        verdict.stuck = self.database.live
        for task, kinds in self.of.items():
            self.judge(task, kinds)
            self.judge_starts(task, kinds)
            raised = len(kinds["R"])
            if raised > max_attempts or any(e.attempt > max_attempts for e in kinds["S"]):
                self.blame("attempts_overrun", task)
        verdict.tasks = len(self.database.statuses)
        self.judge_effects()
        for seconds, task in sorted(verdict.recoveries)[-SLOWEST:]:
            verdict.slowest.append(f"{seconds:.1f} s until {self.story(task)}")
        return verdict

    def judge(self, task: str, kinds: Kinds) -> None:
        """Look for what is lost, and for what never was."""
        status = self.database.statuses.get(task)
        if kinds["A"] and status is None:
            self.blame("lost", task)
        if kinds["B"] and (status is not None or kinds["S"]):
            self.blame("phantom", task)
        settled = {event.token for event in kinds["E"]}
        if status == SUCCEEDED and self.database.tokens[task] not in settled:
            self.blame("phantom", task)

    def judge_starts(self, task: str, kinds: Kinds) -> None:
        """Look at every start after the first, in the order of their claims.

        That need not be the order in time: a process that was frozen may start
        what it had claimed after somebody else has started it again.
        """
        for before, after in pairwise(sorted(kinds["S"], key=lambda e: e.token)):
            self.verdict.duplicates += 1
            ended = [e for kind in "ER" for e in kinds[kind] if e.token == before.token]
            if not self.is_explained(before, after, ended, task):
                self.blame("unexplained_duplicates", task)
            self.measure(before, after, ended)

    def is_explained(
        self, before: Event, after: Event, ended: Sequence[Event], task: str
    ) -> bool:
        """Return whether the queue's promises allow the second start."""
        if any(event.kind == "R" for event in ended):
            return True
        death = self.deaths.get(before.pid)
        if death and before.at <= death[1] and death[0] <= after.at:
            return True
        since = min(before.wall, after.wall) - RECENT_SECONDS
        if any(
            started <= before.wall and since <= expired <= after.wall
            for started, expired in self.database.leases.get(before.pid, [])
        ):
            return True
        away = [
            until - since
            for since, until in self.outages
            if before.at - OUTAGE_SECONDS <= until and since <= after.at
        ]
        is_transactional = task in self.database.transactional
        return max(away, default=-1.0) >= (
            0.0 if is_transactional else LEASE_SECONDS - HEARTBEAT_SECONDS
        )

    def measure(self, before: Event, after: Event, ended: Sequence[Event]) -> None:
        """Note how long a task waited for its next worker after its last was gone."""
        frozen = [(at, at) for pid, at in self.deeds.frozen if pid == before.pid]
        death = self.deaths.get(before.pid)
        for since, until in [death, *frozen] if death else frozen:
            is_over = any(event.at < since for event in ended)
            if before.at <= until and since <= after.at and not is_over:
                self.verdict.recoveries.append((after.at - since, before.task))

    def judge_effects(self) -> None:
        """A transactional task has one effect if it succeeded, none otherwise."""
        for task in self.database.transactional:
            has_succeeded = self.database.statuses[task] == SUCCEEDED
            if self.database.effects[task] != has_succeeded:
                self.blame("duplicate_transactional_effects", task)

    def blame(self, bar: str, task: str) -> None:
        """Count one, and keep the first of them as examples."""
        setattr(self.verdict, bar, getattr(self.verdict, bar) + 1)
        if len(self.verdict.examples) < EXAMPLES:
            self.verdict.examples.append(f"{bar}: {self.story(task)}")

    def story(self, task: str) -> str:
        """Return all that is known of a task."""
        events = [event for some in self.of[task].values() for event in some]
        told = [(event.at, f"{event}") for event in events if event.kind not in "IA"]
        first, last = min(told, default=(0.0, ""))[0], max(told, default=(0.0, ""))[0]
        told += [
            (at, deed)
            for at, deed in self.deeds.told
            if first - BEFORE_SECONDS < at < last
        ]
        deaths = {event.pid: self.deaths.get(event.pid) for event in events}
        told += [(ends[1], f"{pid} died") for pid, ends in deaths.items() if ends]
        offset = events[0].wall - events[0].at
        for pid in deaths:
            for began, expired in self.database.leases.get(pid, []):
                told += [(began - offset, f"lease of {pid}")]
                told += [(expired - offset, f"end of lease of {pid}")]
        lines = [f"\n    {at:.1f} {what}" for at, what in sorted(told)]
        return f"{task}{''.join(lines)}"


def joined(outages: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the outages, those in close succession as one."""
    found: list[tuple[float, float]] = []
    for since, until in sorted(outages):
        goes_on = bool(found) and since - found[-1][1] < GAP_SECONDS
        found.append((found.pop()[0] if goes_on else since, until))
    return found
