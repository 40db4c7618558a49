"""Flights as files."""

import csv
from collections.abc import Iterable
from typing import IO
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy as _

from errands import Download, Job
from flights.models import Airline, Flight
from flights.pace import paced

NEW_YORK = ZoneInfo("America/New_York")
COLUMNS = (
    "departs_at",
    "flight",
    "tail_number",
    "origin",
    "destination",
    "departure_delay",
    "arrival_delay",
    "air_time",
    "distance",
)


class ExportCarrier(Job):
    """Every flight of one airline as a CSV file."""

    title = _("Flights of an airline as CSV")
    unique = ("owner", "arguments")

    def perform(self, airline: Airline) -> Download:
        """Write the flights in the order of their departure."""
        flights = Flight.objects.filter(airline=airline).order_by("departs_at", "pk")
        total = flights.count()
        tracked = self.track(
            flights,
            total=total,
            title=_("Writing the flights of %(airline)s") % {"airline": airline},
        )
        with self.results.open("flights.csv", "w") as file:
            write_flights(file, paced(tracked, total=total))
        return Download("flights.csv", file_name=f"{airline.code}-2013.csv")


def write_flights(file: IO[str], flights: Iterable[Flight]) -> None:
    """Write flights as CSV with a header; times are New York's."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(_row(flight) for flight in flights)


def _row(flight: Flight) -> list[object]:
    return [
        flight.departs_at.astimezone(NEW_YORK).isoformat(timespec="minutes"),
        f"{flight.airline_id} {flight.number}",
        flight.tail_number,
        flight.origin_id,
        flight.destination_id,
        flight.departure_delay,
        flight.arrival_delay,
        flight.air_time,
        flight.distance,
    ]
