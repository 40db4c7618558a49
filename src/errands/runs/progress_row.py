"""The stored form of progress: one row per run, in the sidecar.

Only the attempt that took the run over last may write it: an UPDATE or INSERT
with an older (dispatch, token) changes nothing.
"""

import logging
from dataclasses import astuple, dataclass, fields
from typing import Any
from uuid import UUID

from django.db import Error, IntegrityError

from errands.runs.fence import Fence, run_alias
from errands.sidecar import sidecar

logger = logging.getLogger("errands.runs")

TABLE = "errands_progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How far an attempt had come at one moment."""

    attempt: int
    current: int = 0
    total: int | None = None
    percent: int | None = None
    failed: int = 0
    status: str = ""
    step: str = ""
    log: str = "[]"
    rate: float | None = None
    first_at: float
    updated_at: float


COLUMNS = [field.name for field in fields(Reading)]

_UPDATE = (
    f"UPDATE {TABLE} SET {', '.join(f'{name} = %s' for name in COLUMNS)}, "  # noqa: S608
    "version = version + 1, dispatch = %s, token = %s WHERE run_id = %s "
    "AND (dispatch < %s OR (dispatch = %s AND token <= %s))"
)
_INSERT = (
    f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}, version, dispatch, token, run_id) "  # noqa: S608
    f"VALUES ({', '.join('%s' for _ in COLUMNS)}, 1, %s, %s, %s)"
)
_SELECT = (
    f"SELECT {', '.join(COLUMNS)}, version, dispatch, token "  # noqa: S608
    f"FROM {TABLE} WHERE run_id = %s"
)
_DELETE = f"DELETE FROM {TABLE} WHERE run_id = %s"  # noqa: S608


class ProgressRow:
    """Writes the progress of one attempt. Never raises."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._is_failing = False

    def write(self, reading: Reading) -> None:
        """Store a reading unless a later attempt has stored one.

        A database that cannot be written is logged once per attempt; the job
        goes on, and the next reading makes up for the lost one.
        """
        try:
            self._write(reading)
        except Exception:
            level = logging.DEBUG if self._is_failing else logging.WARNING
            run_id = self._fence.run_id
            logger.log(level, "Run %s: progress not written", run_id, exc_info=True)
            self._is_failing = True

    def _write(self, reading: Reading) -> None:
        fence, side = self._fence, sidecar(run_alias())
        key = (fence.dispatch, fence.token, fence.run_id.hex)
        older = (fence.dispatch, fence.dispatch, fence.token)
        if side.update(_UPDATE, [*astuple(reading), *key, *older]):
            return
        try:
            side.update(_INSERT, [*astuple(reading), *key])
        except IntegrityError:
            logger.debug("Run %s: a later attempt writes progress", fence.run_id)


def read_row(run_id: UUID) -> dict[str, Any] | None:
    """Return the stored reading by column, or None.

    None as well when the database cannot be read: no page fails for that.
    """
    try:
        rows = sidecar(run_alias()).execute(_SELECT, [run_id.hex])
    except Error:
        logger.warning("Run %s: progress not read", run_id, exc_info=True)
        return None
    names = [*COLUMNS, "version", "dispatch", "token"]
    return dict(zip(names, rows[0], strict=True)) if rows else None


def delete_row(run_id: UUID) -> None:
    """Delete the stored reading of a run that is deleted."""
    sidecar(run_alias()).update(_DELETE, [run_id.hex])
