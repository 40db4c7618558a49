"""What an examination says: how bad, what, and what to do about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from django.db import Error

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
    """Yield all findings; an examination that breaks is a finding itself."""
    for examination in examinations:
        try:
            yield from examination(alias)
        except Error as failed:
            yield error(
                f"{examination.__name__} of {alias!r}: {clean_line(failed)}",
                "Look whether the database answers and is migrated.",
            )
        except Exception as broken:  # noqa: BLE001 - told, and the others go on
            kind = type(broken).__name__
            yield error(
                f"{examination.__name__} of {alias!r}: {kind}: {clean_line(broken)}",
                "Look whether the site loads, and whether this is its newest code.",
            )
