"""The protocol with one mistake each, to see whether the torture finds it.

A mutant is a text of the source and what stands there instead. It is applied to
a copy of ``src``, and the torture is run against that copy; it has to fail.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
SQLITE = "queue/statements/sqlite.py"
MACHINE = "tests/torture/test_state_machine.py"
CRASHES = "tests/torture/test_crash_points.py"
RACES = "tests/torture/test_races.py"


class NotFound(Exception):
    """The source has changed, and the mutant with it has to."""


@dataclass(frozen=True)
class Mutant:
    """One mistake, and which tests have to find it."""

    name: str
    path: str
    original: str
    mistaken: str
    caught_by: list[str] = field(default_factory=lambda: [MACHINE])
    database: str = "sqlite"

    def apply(self, source: Path) -> None:
        """Write the mistake into a copy of the source."""
        path = source / "errands" / self.path
        text = path.read_text()
        if (times := text.count(self.original)) != 1:
            raise NotFound(
                f"{self.name!r}: {self.path} has {times} times, not once:\n"
                f"{self.original}"
            )
        path.write_text(text.replace(self.original, self.mistaken))

    def survivors(self) -> str:
        """Return what a run of the tests said that found nothing, else nothing."""
        with TemporaryDirectory(prefix="errands-mutant-") as name:
            source = Path(name, "src")
            shutil.copytree(ROOT / "src", source)
            self.apply(source)
            said = run_torture(source, self.caught_by, self.database)
        return said.stdout if said.returncode == 0 else told_nothing(said)


def run_torture(
    source: Path, tests: list[str], database: str
) -> "subprocess.CompletedProcess[str]":
    """Run tests of the torture against a source tree, until the first that fails.

    As long as it takes: only a mutant that survives is tried to the end.
    """
    own = ("ERRANDS_TEST_DATABASE_NAME", "ERRANDS_TEST_DIRECTORY")
    environment = {key: value for key, value in os.environ.items() if key not in own}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *tests],
        cwd=ROOT,
        env={
            **environment,
            "PYTHONPATH": str(source),
            "ERRANDS_TEST_DATABASE": database,
            "ERRANDS_TORTURE": "long",
        },
        check=False,
        capture_output=True,
        text=True,
    )


def told_nothing(said: "subprocess.CompletedProcess[str]") -> str:
    """Return why a failed run proves nothing: it has to be a test that failed."""
    has_failed = said.returncode == 1 and "FAILED tests/torture" in said.stdout
    return "" if has_failed else f"No test failed:\n{said.stdout}\n{said.stderr}"


STORE = "queue/store.py"
WRITING = "queue/writing/settling.py"
DECIDING = "queue/writing/deciding.py"
LIVENESS = "queue/living/liveness.py"
RESCUING = "queue/living/rescuing.py"
SET_RUNNING = "token = token + 1,\n    attempt = attempt + 1"
DROPPED = "(id, token) IN (\n    SELECT id, token FROM"
AND_RUNNING = "\n    AND errands_task.state = {TaskState.RUNNING:d}\n    AND NOT"
NOT_TWICE = "AND NOT (r.unless_started AND errands_task.started_at IS NOT NULL)"
DUE = "run_at <= %s\n    ORDER"
OF_SLOT = "worker = NULL, slot = NULL"
PROMOTED = "        statements.promote(cursor, keys)\n"
SETTLED = "bool(record(self._statements, cursor, Batch.of([ended])))"
READ_BACK = "done | _settled_before(alias, missing) if missing else done"
IN_ORDER = "id LIMIT {FEW} FOR UPDATE SKIP LOCKED\n), taken"
REVIVED = "SELECT {KEPT_BY_RETRY}, token, 0, 0"
NEW_TRANSACTION = "return brief(alias)"

MUTANTS = [
    Mutant(
        "finish forgets the token",
        SQLITE,
        "t.id = r.id AND t.token = r.token",
        "t.id = r.id",
    ),
    Mutant(
        "drop forgets the token",
        SQLITE,
        DROPPED,
        DROPPED.replace("(id, token)", "id").replace("id, token", "id"),
        caught_by=[RACES, MACHINE],
    ),
    Mutant("requeue forgets the token", SQLITE, "AND errands_task.token = r.token", ""),
    Mutant("requeue forgets the state", SQLITE, AND_RUNNING, "\n    AND NOT"),
    Mutant(
        "a claim counts no attempt",
        SQLITE,
        SET_RUNNING,
        SET_RUNNING.replace("attempt + 1", "attempt"),
    ),
    Mutant(
        "a claim raises no token",
        SQLITE,
        SET_RUNNING,
        SET_RUNNING.replace("token + 1", "token"),
    ),
    Mutant(
        "rescue takes from the living",
        RESCUING,
        "holders - living(store.alias).keys()",
        "holders",
    ),
    Mutant(
        "a release is charged",
        DECIDING,
        "run_at=due_at or claim.run_at,\n        attempt=claim.attempt - 1,",
        "run_at=due_at or claim.run_at,",
    ),
    Mutant(
        "a crash is not counted",
        DECIDING,
        "crashes = claim.crashes + 1",
        "crashes = claim.crashes",
    ),
    Mutant(
        "an expired worker is revived",
        LIVENESS,
        "WHERE id = %s AND expires_at > {now}",
        "WHERE id = %s",
    ),
    Mutant("a slot is not freed", SQLITE, OF_SLOT, "worker = NULL"),
    Mutant("nobody is let through to a free slot", WRITING, PROMOTED, "        pass\n"),
    Mutant(
        "a full key takes one more",
        "queue/throttling/concurrency.py",
        "if len(taken) >= limit:",
        "if len(taken) > limit:",
    ),
    Mutant(
        "the unique key is dropped",
        "queue/writing/enqueueing.py",
        "unique_key=unique_key(task, args, kwargs)",
        "unique_key=None",
    ),
    Mutant("a transaction does not settle", STORE, SETTLED, "True"),
    Mutant("a lost answer is not read back", WRITING, READ_BACK, "done"),
    Mutant(
        "stage takes tasks that are not due",
        SQLITE,
        DUE,
        DUE.replace("run_at <= %s", "%s > ''"),
    ),
    Mutant(
        "prune takes results that are kept",
        SQLITE,
        "finished_at < %s AND expires_at IS NULL",
        "%s > '' AND expires_at IS NULL",
        caught_by=[RACES, MACHINE],
    ),
    Mutant(
        "cancel takes what runs",
        SQLITE,
        "AND token = %s AND state <> {TaskState.RUNNING:d}",
        "AND token = %s AND state <> {TaskState.RUNNING:d} + 99",
    ),
    Mutant(
        "what must not start twice does",
        SQLITE,
        NOT_TWICE,
        "",
        caught_by=[RACES, MACHINE],
    ),
    Mutant(
        "a retried task begins at token 0",
        "queue/writing/interventions.py",
        REVIVED,
        REVIVED.replace("token", "0"),
    ),
    Mutant(
        "a settle is no transaction",
        WRITING,
        NEW_TRANSACTION,
        "return connections[alias].cursor()",
        caught_by=[CRASHES],
    ),
    Mutant(
        "claimers do not lock what they read",
        "queue/statements/postgresql/dialect.py",
        IN_ORDER,
        IN_ORDER.replace(" FOR UPDATE SKIP LOCKED", ""),
        caught_by=[RACES],
        database="postgresql",
    ),
]

SAMPLE = ["finish forgets the token", "a slot is not freed", "a settle is no transaction"]


def main() -> int:
    """Run all mutants, or those named; return how many survived."""
    names = sys.argv[1:] or [mutant.name for mutant in MUTANTS]
    survived = 0
    for mutant in MUTANTS:
        if mutant.name in names:
            said = mutant.survivors()
            survived += bool(said)
            verdict = f"SURVIVED\n{said}" if said else "caught"
            sys.stdout.write(f"{mutant.name}: {verdict}\n")
            sys.stdout.flush()
    return survived


if __name__ == "__main__":
    sys.exit(main())
