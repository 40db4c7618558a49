"""Filling the database."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import batched

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from errands import Job, Redirect, Run
from flights import dataset
from flights.dataset import whole
from flights.models import Airline, Airport, Flight

BATCH = 2_000

# Destinations that the data set's list of airports leaves out.
MISSING_AIRPORTS = [
    Airport("BQN", "Aguadilla Rafael Hernández", 18.4949, -67.1294),
    Airport("PSE", "Ponce Mercedita", 18.0083, -66.563),
    Airport("SJU", "San Juan Luis Muñoz Marín", 18.4394, -66.0018),
    Airport("STT", "St. Thomas Cyril E. King", 18.3373, -64.9734),
]


class LoadFlights(Job):
    """Load every flight of 2013, and nothing that is there already.

    A batch is one transaction and a flight's key its line in the file, so
    the highest key says where to go on, after a crash too. Two of these at
    once cannot load a flight twice.
    """

    title = _("Loading 336,776 flights")
    result_expires = None

    def perform(self) -> Redirect:
        """Insert what is missing, in the order of the file."""
        self.status(_("Airlines and airports"))
        Airline.objects.bulk_create(airlines(), ignore_conflicts=True)
        Airport.objects.bulk_create(airports(), ignore_conflicts=True)
        done = loaded()

        self.status(_("Flights"))
        self.progress.total = dataset.TOTAL
        self.progress.advance(done)
        missing = (flight(line, row) for line, row in dataset.flights(after=done))
        for batch in batched(missing, BATCH):
            Flight.objects.bulk_create(batch)
            self.progress.advance(len(batch))
        return Redirect("flights:home")


def is_loading() -> bool:
    """Return whether a run that loads the data has not ended."""
    return Run.objects.filter(job=LoadFlights.path()).open().exists()


def loaded() -> int:
    """Return how many flights are there; their keys have no gaps."""
    return int(Flight.objects.aggregate(last=Max("line"))["last"] or 0)


def load_for(users: Iterable[AbstractBaseUser]) -> Run | None:
    """Have missing data loaded, visibly to these users; None if it need not be."""
    if loaded() == dataset.TOTAL or is_loading():
        return None
    first, *others = users
    run = LoadFlights.using(owner=first).enqueue()
    for user in others:
        run.grant(user)
    return run


def airlines() -> Iterator[Airline]:
    """Return the 16 airlines, named without their legal forms."""
    for row in dataset.rows("airlines.csv"):
        name = row["name"]
        for legal_form in (" Inc.", " Co.", " Corporation"):
            name = name.removesuffix(legal_form)
        yield Airline(code=row["carrier"], name=name)


def airports() -> Iterator[Airport]:
    """Return every airport a flight refers to, and some more.

    In the file there are backslashes before apostrophes.
    """
    for row in dataset.rows("airports.csv"):
        name = row["name"].replace("\\", "")
        yield Airport(row["faa"], name, float(row["lat"]), float(row["lon"]))
    yield from MISSING_AIRPORTS


def flight(line: int, row: dict[str, str]) -> Flight:
    """Return the flight in a line of the file.

    ``time_hour`` is the full hour of the departure as planned, in UTC.
    """
    hour = datetime.fromisoformat(row["time_hour"])
    return Flight(
        line=line,
        airline_id=row["carrier"],
        number=int(row["flight"]),
        tail_number="" if row["tailnum"] == "NA" else row["tailnum"],
        origin_id=row["origin"],
        destination_id=row["dest"],
        day=date(int(row["year"]), int(row["month"]), int(row["day"])),
        month=int(row["month"]),
        departs_at=hour + timedelta(minutes=int(row["minute"])),
        departure_delay=whole(row["dep_delay"]),
        arrival_delay=whole(row["arr_delay"]),
        air_time=whole(row["air_time"]),
        distance=int(row["distance"]),
    )
