"""The numbers of the year, counted once per process."""

from typing import Any

from django.core.cache import cache
from django.db.models import Avg, Count, Q

from flights.charts import arcs, projected
from flights.jobs.reports import MONTHS, month_bars, month_of, percent
from flights.models import ON_TIME, Airline, Airport, Flight

CENTER = "JFK"


def overview() -> dict[str, Any]:
    """Return the figures of the year; they never change once all is loaded."""
    return dict(cache.get_or_set("overview", _overview, timeout=None) or {})


def _overview() -> dict[str, Any]:
    flights = Flight.objects.all()
    center = Airport.objects.get(code=CENTER)
    months = [month_of(flights, month) for month in MONTHS]
    year = flights.aggregate(
        flights=Count("pk"),
        airlines=Count("airline", distinct=True),
        destinations=Count("destination", distinct=True),
        late=Count("pk", filter=Q(arrival_delay__gte=ON_TIME)),
        cancelled=Count("pk", filter=Q(departure_delay=None)),
        delay=Avg("departure_delay"),
    )
    return year | {
        "late_percent": percent(year["late"], year["flights"]),
        "delays": month_bars(months, "late_percent", unit=" %"),
        "map": arcs(center, destinations()),
        "home": projected(center),
    }


def airlines() -> list[dict[str, Any]]:
    """Return the airlines with their flights, the greatest first."""
    counted = dict(Flight.objects.order_by().values_list("airline").annotate(Count("pk")))
    every = Airline.objects.in_bulk()
    most = sorted(counted.items(), key=lambda item: -item[1])
    return [{"airline": every[code], "flights": flights} for code, flights in most]


def destinations() -> list[tuple[Airport, int]]:
    """Return where flights went, and how many; the fewest first."""
    counted = Flight.objects.order_by().values_list("destination").annotate(Count("pk"))
    every = Airport.objects.in_bulk()
    fewest_first = sorted(counted, key=lambda item: item[1])
    return [(every[code], flights) for code, flights in fewest_first]
