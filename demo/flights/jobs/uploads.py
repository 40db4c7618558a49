"""The visitor's own file."""

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from errands import Download, Job, sweep
from flights.csv_summary import DELIMITERS, Dialect, Summary, examine, summarise
from flights.models import Upload

KEPT = timedelta(days=1)
ROWS_PER_LOOK = 500


class SummariseUpload(Job):
    """One line per column of an uploaded CSV file."""

    title = _("Summary of a CSV file")

    def perform(self, upload: Upload) -> Download:
        """Read the file once; the bar counts its bytes."""
        self.status(_("Looking at the file"))
        with upload.file.open("rb") as file:
            dialect = examine(file)
            self.say(dialect)
            self.progress.total = upload.file.size
            self.status(_("Reading rows"))
            for number, summary in enumerate(summarise(file, dialect)):  # noqa: B007
                if number % ROWS_PER_LOOK == 0:
                    self.progress.advance(file.tell() - self.progress.current)
        self.conclude(summary)
        with self.results.open("summary.csv", "w") as result:
            summary.write(result)
        return Download("summary.csv", file_name=f"summary of {upload.name}")

    def say(self, dialect: Dialect) -> None:
        """Log how the file is written."""
        words = {
            "encoding": dialect.encoding.upper(),
            "delimiter": DELIMITERS[dialect.delimiter],
            "header": _("with a header") if dialect.has_header else _("without a header"),
        }
        self.log(_("%(encoding)s, separated by %(delimiter)s, %(header)s") % words)

    def conclude(self, summary: Summary) -> None:
        """Log what was found."""
        found = {"rows": f"{summary.rows:,}", "columns": len(summary.columns)}
        self.log(_("%(rows)s rows in %(columns)s columns") % found)
        if summary.ragged:
            self.log(
                _("%(rows)s rows do not have as many cells as the first")
                % {"rows": f"{summary.ragged:,}"}
            )


@sweep
def remove_old_uploads() -> None:
    """Delete uploads after a day, their files first."""
    for upload in Upload.objects.filter(created_at__lt=timezone.now() - KEPT):
        upload.file.delete(save=False)
        upload.delete()
