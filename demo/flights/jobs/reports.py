"""Figures about an airline: one that works, and one that does not."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet
from django.utils.dates import MONTHS_3
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from errands import Job, Message, Page
from flights.charts import bars
from flights.models import ON_TIME, Airline, Airport, Flight
from flights.pace import paced

MONTHS = range(1, 13)
ROUTES = 8


class AirlineReport(Job):
    """The year of one airline as a page."""

    title = _("Airline report")
    unique = ("owner", "arguments")

    def perform(self, airline: Airline) -> Page:
        """Gather the figures of each month, then those of the year."""
        flights = Flight.objects.filter(airline=airline)
        tracked = self.track(MONTHS, title=_("Month by month"))
        months = [month_of(flights, month) for month in paced(tracked, total=len(MONTHS))]
        self.status(_("Busiest routes"))
        year = flights.aggregate(
            flights=Count("pk"),
            cancelled=Count("pk", filter=Q(departure_delay=None)),
            late=Count("pk", filter=Q(arrival_delay__gte=ON_TIME)),
            delay=Avg("arrival_delay"),
        )
        return Page(
            context={
                "airline": airline,
                "months": months,
                "delays": month_bars(months, "late_percent", unit=" %"),
                "departures": month_bars(months, "flights"),
                "routes": flights.by_route()[:ROUTES],
                "year": year | {"late_percent": percent(year["late"], year["flights"])},
            }
        )


class AirportPunctuality(Job):
    """The share of an airline's flights that leave an airport on time.

    It has a bug: nobody thought of an airline that does not fly there.
    """

    title = _("Punctuality at an airport")

    def perform(self, airline: Airline, airport: Airport) -> Message:
        """Divide the flights that left on time by all of them."""
        flights = Flight.objects.filter(airline=airline, origin=airport)
        on_time = flights.filter(departure_delay__lt=ON_TIME).count()
        share = on_time / flights.count()
        return Message(
            gettext("%(airline)s left %(airport)s on time in %(share).0f %% of cases.")
            % {"airline": airline, "airport": airport, "share": 100 * share}
        )


def month_of(flights: "QuerySet[Flight, Flight]", month: int) -> dict[str, Any]:
    """Return the figures of one month."""
    figures = flights.filter(month=month).aggregate(
        flights=Count("pk"),
        cancelled=Count("pk", filter=Q(departure_delay=None)),
        late=Count("pk", filter=Q(arrival_delay__gte=ON_TIME)),
        delay=Avg("arrival_delay"),
    )
    late_percent = percent(figures["late"], figures["flights"])
    return figures | {"name": str(MONTHS_3[month]).title(), "late_percent": late_percent}


def month_bars(months: Iterable[dict[str, Any]], key: str, *, unit: str = "") -> Any:
    """Return a bar per month of one of its figures."""
    return bars([(month["name"], month[key]) for month in months], unit=unit)


def percent(part: int, whole: int) -> int:
    """Return a share in whole percent; of nothing it is 0."""
    return round(100 * part / whole) if whole else 0
