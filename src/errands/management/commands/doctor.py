"""``manage.py doctor``: look for what makes a queue fail in production."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import Error

from errands.doctor import database, site, work
from errands.doctor.findings import Finding, Level, examine, warning
from errands.management import command
from errands.queue.backend import backends
from errands.runs.fence import run_alias
from errands.text import clean_line, counted


class Command(command.Command):
    """Examine databases, workers and the site."""

    help = "Look for what makes a queue fail in production; exit code 1 on errors."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._findings: list[Finding] = []

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Make the system checks; some ask a database, which may be away."""
        try:
            super().check(*args, **kwargs)
        except Error as failed:
            self._findings.append(
                warning(
                    "The system checks have asked a database, and were not finished: "
                    f"{clean_line(failed)}",
                    "Run manage.py check when it answers.",
                )
            )

    def handle(self, **options: Any) -> None:
        """Print every finding, the remedy below it, and the sum."""
        findings = [*self._findings, *site.examined(), *_of_databases()]
        for finding in findings:
            self._print(finding)
        errors = sum(finding.level == Level.ERROR for finding in findings)
        warnings = sum(finding.level == Level.WARNING for finding in findings)
        summary = (
            f"{counted(len(findings), 'finding')}: {counted(errors, 'error')}, "
            f"{counted(warnings, 'warning')}."
        )
        if errors:
            raise CommandError(summary)
        self.say(summary)

    def _print(self, finding: Finding) -> None:
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.ERROR: self.style.ERROR,
        }
        label = styles[finding.level](f"{finding.level.name.lower():8}")
        self.say(f"{label} {finding.text}")
        if finding.remedy:
            self.say(f"{'':8} → {finding.remedy}")


def _of_databases() -> Iterator[Finding]:
    queues = {backend.database_alias for backend in backends()}
    for alias in sorted(queues):
        yield from examine(alias, database.OF_SETTINGS)
        yield from examine(alias, [*database.EXAMINATIONS, *work.EXAMINATIONS])
    if run_alias() not in queues:
        yield from examine(run_alias(), [database.connection_reuse, *database.OF_RUNS])
