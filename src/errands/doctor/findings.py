"""What an examination says: how bad, what, and what to do about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor

from errands.text import clean_line


class Level(IntEnum):
    """How bad a finding is."""

    OK = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    level: Level
    text: str
    remedy: str = ""


type Examination = Callable[[str], Iterator[Finding]]
"""Given the alias of a queue's database, what was found there."""


def ok(text: str) -> Finding:
    """Return what needs nobody's attention."""
    return Finding(Level.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Return what will hurt some day, or hurts a little."""
    return Finding(Level.WARNING, text, remedy)


def error(text: str, remedy: str) -> Finding:
    """Return what keeps tasks from running, or loses some."""
    return Finding(Level.ERROR, text, remedy)


def examine(alias: str, examinations: Sequence[Examination]) -> Iterator[Finding]:
    """Yield all findings; an examination that breaks is a finding itself.

    A database that cannot be reached ends the rest of them, and is one finding.
    What migrations would have brought is left to the finding that they are missing.
    """
    for index, examination in enumerate(examinations):
        told = f"{_title(examination)} of {alias!r} could not be looked at"
        try:
            yield from examination(alias)
        except Error as failed:
            outage = _outage(alias)
            if outage:
                yield _unreachable(alias, outage, examinations[index:])
                return
            if not _is_unmigrated(alias):
                yield error(
                    f"{told}: {clean_line(failed)}",
                    "Look at what else the database reports.",
                )
        except Exception as broken:  # noqa: BLE001 - told, and the others go on
            yield error(
                f"{told}: {type(broken).__name__}: {clean_line(broken)}",
                "Look whether the site loads, and whether this is its newest code.",
            )


def missing_migrations(alias: str) -> int:
    """Return how many migrations of errands have not been applied."""
    executor = MigrationExecutor(connections[alias])
    wanted = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "errands"]
    plan = executor.migration_plan(wanted)
    return sum(migration.app_label == "errands" for migration, _ in plan)


def _is_unmigrated(alias: str) -> bool:
    try:
        return missing_migrations(alias) > 0
    except Error:
        return False


def _title(examination: Examination) -> str:
    return examination.__name__.replace("_", " ")


def _outage(alias: str) -> Error | None:
    """Return why a database cannot be reached, if it cannot."""
    try:
        connections[alias].close_if_unusable_or_obsolete()
        connections[alias].ensure_connection()
    except Error as outage:
        return outage
    return None


def _unreachable(alias: str, outage: Error, unanswered: Sequence[Examination]) -> Finding:
    left_out = ", ".join(map(_title, unanswered))
    return error(
        f"Database {alias!r} cannot be reached: {clean_line(outage)}",
        f"Look whether it runs, and at DATABASES[{alias!r}]. Not looked at: {left_out}.",
    )
