"""The bars our queue is to clear, as ratios within one run."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.contest import Results


class NotMeasured(Exception):
    """A peer has no figure; the measure is the first argument."""


type Measured = Callable[["Figures"], float]

# What the profile of a bar shows that not every machine clears, and what would
# have to change.
DRAINING = (
    "A task costs our worker 0.87× of the processor time that it costs PgQueuer's, and "
    "the server 0.91× (a third of that for six index entries: three to claim, three to "
    "settle). Three fifths of ours are spent in the task's thread, the rest in the "
    "courier: some 110 functions, none of them above a twentieth. But PgQueuer runs "
    "coroutines on one loop, while our threads hand each other the interpreter, and are "
    "done before the database has taken the next thousands for them: the two cores are "
    "busy for three quarters of the time. PgQueuer keeps no result, context, metadata or "
    "worker of a task; with the rows it has deleted it becomes slower, and ours does "
    "not. What would have to change: a Python without its lock. To settle in a second "
    "thread, beside the claims, is slower on two cores (0.88×), to claim a few hundred "
    "at a time is no quicker; to write no results is 1.0× with one process, 1.06× with "
    "two."
)
ENQUEUEING = (
    "Of some 330 µs the server, its disk and libpq take 260; the rest is Python, 77 "
    "functions whose code the processor has forgotten while it waited for the disk: the "
    "call checked and encoded, its backend, connection, cursor and result, and every 15 "
    "ms a NOTIFY. The commit is the same for all, so the ratio falls where the disk is "
    "slow beside the processor. What would have to change: libpq without Django's cursor "
    "around it, which would hide the INSERT from whoever watches queries."
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians, by measure, peer and engine; ``NotMeasured`` where there is none."""

    results: Results

    def of(self, measure: str, module: str, engine: str = "postgresql") -> Any:
        """Return the median, or the last answer where it is not a number."""
        for contestant, answers in self.results.measured.get(measure, {}).items():
            if (contestant.module, contestant.engine) == (module, engine):
                is_number = isinstance(answers[0], int | float)
                return median(answers) if is_number else answers[-1]
        raise NotMeasured(measure, f"{module} on {engine}: no {measure}")

    def ratio(self, measure: str, module: str) -> float:
        """Return ours against that peer's, both on PostgreSQL."""
        engine = "redis" if module == "celery" else "postgresql"
        ours = self.of(measure, "errands")
        return float(ours / self.of(measure, module, engine))

    def best_of_django(self, measure: str) -> float:
        """Return ours against the fastest Django rival's, on PostgreSQL."""
        rivals = ("django_tasks_db", "django_ox", "dj_queue")
        return min(self.ratio(measure, rival) for rival in rivals)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what is compared, where it lies, and what was measured."""

    text: str
    limit: float
    measured: Measured
    is_floor: bool = True
    unit: str = "×"
    why: str = ""
    """Why a machine may not clear it."""

    def is_met(self, value: float) -> bool:
        """Return whether a value clears it."""
        return value >= self.limit if self.is_floor else value <= self.limit

    def is_missed(self, figures: Figures) -> bool:
        """Return whether it was measured and is not met."""
        try:
            return not self.is_met(self.measured(figures))
        except NotMeasured:
            return False

    def row(self, figures: Figures) -> str:
        """Return its row of the table; nothing where nobody was measured."""
        sign = "≥" if self.is_floor else "≤"
        try:
            value = self.measured(figures)
        except NotMeasured as missing:
            measure, why = missing.args
            if measure not in figures.results.measured:
                return ""
            return f"| {self.text} | {sign} {self.limit:g}{self.unit} | – | **{why}** |"
        met = "met" if self.is_met(value) else "**not met**"
        return (
            f"| {self.text} | {sign} {self.limit:g}{self.unit} "
            f"| {value:.2f}{self.unit} | {met} |"
        )


def _idle(index: int, engine: str = "postgresql") -> Measured:
    return lambda f: float(f.of("idle", "errands", engine)[index])


BARS = (
    Bar(
        "drain, 1 process: PgQueuer, batch 2000",
        1.2,
        lambda f: f.ratio("drain 1", "pgqueuer"),
        why=DRAINING,
    ),
    Bar(
        "drain, 1 process: PgQueuer, batch 10",
        1.2,
        lambda f: f.ratio("drain 1", "pgqueuer_default"),
    ),
    Bar(
        "drain of a backlog, 1 process: PgQueuer, batch 2000",
        1.2,
        lambda f: f.ratio("backlog", "pgqueuer"),
        why=DRAINING,
    ),
    Bar(
        "drain, 1 process: fastest Django rival",
        12,
        lambda f: f.best_of_django("drain 1"),
        why=DRAINING,
    ),
    Bar("drain, 1 process: Celery", 3, lambda f: f.ratio("drain 1", "celery")),
    Bar("drain, 1 process: raw psycopg", 0.15, lambda f: f.ratio("drain 1", "raw")),
    Bar(
        "drain: 2 processes against 1",
        1.3,
        lambda f: f.of("drain 2", "errands") / f.of("drain 1", "errands"),
    ),
    Bar(
        "drain on SQLite, 1 process: Huey",
        1.5,
        lambda f: (
            f.of("drain 1", "errands", "sqlite") / f.of("drain 1", "huey", "sqlite")
        ),
    ),
    Bar(
        "threads busy with tasks of 20 ms, share of the ideal, PostgreSQL",
        0.8,
        lambda f: float(f.of("slow", "errands")),
        unit="",
    ),
    Bar(
        "threads busy with tasks of 20 ms, share of the ideal, SQLite",
        0.8,
        lambda f: float(f.of("slow", "errands", "sqlite")),
        unit="",
    ),
    Bar(
        "enqueue one: PgQueuer",
        1,
        lambda f: f.ratio("enqueue one", "pgqueuer"),
        why=ENQUEUEING,
    ),
    Bar(
        "enqueue one: bare INSERT + commit", 0.5, lambda f: f.ratio("enqueue one", "raw")
    ),
    Bar(
        "enqueue one: django-tasks-db",
        2,
        lambda f: f.ratio("enqueue one", "django_tasks_db"),
        why=ENQUEUEING,
    ),
    Bar(
        "enqueue one: django-ox",
        2,
        lambda f: f.ratio("enqueue one", "django_ox"),
        why=ENQUEUEING,
    ),
    Bar("enqueue many: PgQueuer", 1, lambda f: f.ratio("enqueue many", "pgqueuer")),
    Bar("enqueue many: COPY", 0.15, lambda f: f.ratio("enqueue many", "raw")),
    Bar(
        "pick-up p50: PgQueuer",
        1,
        lambda f: f.of("pick_up", "errands")[0] / f.of("pick_up", "pgqueuer")[0],
        is_floor=False,
    ),
    Bar(
        "pick-up p50 on SQLite",
        5,
        lambda f: float(f.of("pick_up", "errands", "sqlite")[0]),
        is_floor=False,
        unit=" ms",
    ),
    Bar(
        "pick-up p50 on MariaDB",
        25,
        lambda f: float(f.of("pick_up", "errands", "mysql")[0]),
        is_floor=False,
        unit=" ms",
    ),
    Bar(
        "pick-up p99 against p50, PostgreSQL",
        5,
        lambda f: f.of("pick_up", "errands")[1] / f.of("pick_up", "errands")[0],
        is_floor=False,
    ),
    Bar(
        "pick-up p99 against p50, SQLite",
        5,
        lambda f: (
            f.of("pick_up", "errands", "sqlite")[1]
            / f.of("pick_up", "errands", "sqlite")[0]
        ),
        is_floor=False,
    ),
    Bar("idle: commits per second, PostgreSQL", 1, _idle(4), is_floor=False, unit=""),
    Bar(
        "idle: writes per second, SQLite", 1, _idle(4, "sqlite"), is_floor=False, unit=""
    ),
    Bar("idle: share of a core, PostgreSQL", 0.5, _idle(3), is_floor=False, unit=" %"),
    Bar(
        "idle: share of a core, SQLite",
        0.5,
        _idle(3, "sqlite"),
        is_floor=False,
        unit=" %",
    ),
    Bar(
        "idle: RSS against `manage.py shell`",
        1.15,
        lambda f: f.of("idle", "errands")[0] / f.of("idle", "errands")[2],
        is_floor=False,
    ),
    Bar(
        "worker's tree killed: tasks run again, PostgreSQL",
        2,
        lambda f: float(f.of("recovery", "errands")),
        is_floor=False,
        unit=" s",
    ),
    Bar(
        "worker's tree killed: tasks run again, SQLite",
        2,
        lambda f: float(f.of("recovery", "errands", "sqlite")),
        is_floor=False,
        unit=" s",
    ),
    Bar(
        "claim's p95, a million deferred and an idle transaction: empty queue",
        5,
        lambda f: f.of("claims", "errands")[1] / f.of("claims", "errands")[0],
        is_floor=False,
    ),
)


def table(results: Results) -> str:
    """Return all bars as a Markdown table."""
    figures = Figures(results)
    head = "| bar (ours against) | limit | measured | |\n| --- | ---: | ---: | --- |"
    return "\n".join([head, *filter(None, (bar.row(figures) for bar in BARS))])


def reasons(results: Results) -> str:
    """Return why bars are not met, where that is known, as a Markdown list."""
    figures = Figures(results)
    missed = [bar for bar in BARS if bar.why and bar.is_missed(figures)]
    measures: dict[str, dict[str, None]] = {}
    for bar in missed:
        measures.setdefault(bar.why, {})[bar.text.partition(":")[0]] = None
    return "\n".join(f"* **{'; '.join(of)}**: {why}" for why, of in measures.items())
