"""``manage.py doctor``: look for what makes a queue fail in production."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from errands.doctor import database, site, work
from errands.doctor.findings import Finding, Level, examine
from errands.queue.backend import backends
from errands.runs.fence import run_alias


class Command(BaseCommand):
    """Examine databases, workers and the site."""

    help = "Look for what makes a queue fail in production; exit code 1 on errors."

    def handle(self, **options: Any) -> None:
        """Print every finding, the remedy below it, and the sum."""
        examinations = [*database.EXAMINATIONS, *work.EXAMINATIONS]
        findings = list(site.examined())
        queues = {backend.database_alias for backend in backends()}
        for alias in sorted(queues):
            findings += examine(alias, examinations)
        if run_alias() not in queues:
            findings += examine(run_alias(), database.OF_RUNS)
        for finding in findings:
            self._print(finding)
        errors = sum(finding.level == Level.ERROR for finding in findings)
        warnings = sum(finding.level == Level.WARNING for finding in findings)
        summary = f"{len(findings)} findings: {errors} errors, {warnings} warnings."
        if errors:
            raise CommandError(summary)
        self.stdout.write(summary)

    def _print(self, finding: Finding) -> None:
        styles = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.ERROR: self.style.ERROR,
        }
        label = styles[finding.level](f"{finding.level.name.lower():8}")
        self.stdout.write(f"{label} {finding.text}")
        if finding.remedy:
            self.stdout.write(f"{'':8} → {finding.remedy}")
