"""The results of a run, for reading."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from errands.runs.models import Run, RunResult


class RunResults(Mapping[str, "RunResult"]):
    """The results of a run by name, as they were when first asked for.

    The contents of results kept in the database are loaded when opened.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run

    def __getitem__(self, name: str) -> "RunResult":
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def _rows(self) -> dict[str, "RunResult"]:
        rows = self._run.result_rows.defer("content").order_by("name")
        return {row.name: row for row in rows}
