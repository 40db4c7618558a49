"""Progress as a page reads it."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils import formats
from django.utils.translation import gettext

from errands.instants import for_site
from errands.runs.eta import describe_seconds_left, seconds_left
from errands.runs.models import Run
from errands.runs.progress_row import read_row
from errands.runs.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run was when somebody looked.

    ``percent`` is None while it is indeterminate, and at most 99 before the
    run has succeeded. Texts are in the active language.
    """

    current: int = 0
    total: int | None = None
    failed: int = 0
    percent: int | None = None
    eta_seconds: int | None = None
    status: str = ""
    step: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    attempt: int = 0
    version: int = 0
    updated_at: datetime | None = None

    @property
    def text(self) -> str:
        """The count in words: ``1,200 of 5,000 (24%)``."""
        if not self.current and not self.total:
            return ""
        numbers = {
            "current": _number(self.current),
            "total": _number(self.total or 0),
            "percent": self.percent,
        }
        if self.total is None:
            return gettext("%(current)s processed") % numbers
        if self.current > self.total or self.percent is None:
            return gettext("%(current)s processed (expected %(total)s)") % numbers
        return gettext("%(current)s of %(total)s (%(percent)s%%)") % numbers

    @property
    def eta_text(self) -> str:
        """The time left, rounded: ``about 2 minutes left``; empty if unknown."""
        return describe_seconds_left(self.eta_seconds)


def read(run_id: UUID) -> Snapshot:
    """Return what the latest attempt of a run has written."""
    row = read_row(run_id)
    return Snapshot() if row is None else _snapshot(row)


def of(run: Run) -> Snapshot:
    """Return the progress that counts for a run as it is now.

    Nothing of a former attempt once another has taken over; 100 % and no time
    left once it has succeeded.
    """
    row = read_row(run.pk)
    is_stale = row is not None and row["attempt"] < run.attempt
    if row is None or is_stale:
        return Snapshot(attempt=run.attempt)
    snapshot = _snapshot(row)
    if run.is_finished:
        snapshot = replace(snapshot, eta_seconds=None)
    if run.state == State.SUCCEEDED and snapshot.total is not None:
        snapshot = replace(snapshot, percent=100)
    return snapshot


def _snapshot(row: dict[str, Any]) -> Snapshot:
    current, total, rate = row["current"], row["total"], row["rate"]
    return Snapshot(
        current=current,
        total=total,
        failed=row["failed"],
        percent=row["percent"],
        eta_seconds=seconds_left(current=current, total=total, rate=rate),
        status=row["status"],
        step=row["step"],
        log=json.loads(row["log"]),
        attempt=row["attempt"],
        version=row["version"],
        updated_at=_instant(row["updated_at"]),
    )


def _instant(seconds: float) -> datetime:
    """Return an instant as the site's other instants are, aware or naive."""
    return for_site(datetime.fromtimestamp(seconds, UTC))


def _number(value: int) -> str:
    return formats.number_format(value, use_l10n=True, force_grouping=True)
