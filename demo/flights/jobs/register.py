"""Fetching from a partner who is slow and fails now and then."""

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from errands import Job, JobError, Page
from flights import partner
from flights.dataset import whole
from flights.models import ON_TIME, Aircraft, Flight

TRIES = 6
FIRST_PAUSE = 0.5
ROWS_SHOWN = 25


class FetchRegister(Job):
    """3,000 planes from the partner's register, in ten calls.

    Each call is tried up to six times, after pauses of 0.5, 1, 2, 4 and 8
    seconds. What a call brought is stored before the next is made, so that a
    deploy costs one call at most.
    """

    title = gettext_lazy("Aircraft register")

    def perform(self, access_pass: str) -> Page:
        """Fetch what is missing, and report on all of it."""
        with self.step("calls", title=gettext_lazy("Calling the partner")) as step:
            left = range((step.cursor or 0) + 1, partner.PAGES + 1)
            for page in step.track(left, cursor=int):
                self.store(self.call(access_pass, page))
        self.status(gettext_lazy("Writing the report"))
        planes = Aircraft.objects.filter(run=self.run).order_by("tail_number")
        with self.results.open("aircraft.csv", "w") as file:
            write_planes(file, planes)
        return Page(
            context={
                "planes": planes[:ROWS_SHOWN],
                "total": planes.aggregate(planes=Count("pk"), seats=Sum("seats")),
                "manufacturers": by_manufacturer(planes),
                "flights": flights_of(planes),
            }
        )

    def call(self, access_pass: str, page: int) -> list[dict[str, str]]:
        """Make one call, again and again if it must be."""
        self.status(_("Call %(page)s of %(of)s") % {"page": page, "of": partner.PAGES})
        for attempt in range(1, TRIES + 1):
            try:
                return partner.fetch_planes(access_pass, page)
            except partner.Refused as error:
                raise JobError(
                    _("The partner's pass has ended. Enter the key again.")
                ) from error
            except partner.Unavailable as error:
                if attempt < TRIES:
                    self.wait(page, error, seconds=FIRST_PAUSE * 2 ** (attempt - 1))
        raise JobError(
            _("The partner did not answer call %(page)s in %(tries)s tries.")
            % {"page": page, "tries": TRIES}
        )

    def wait(self, page: int, error: partner.Unavailable, *, seconds: float) -> None:
        """Say why, and give the partner a moment."""
        said = {"page": page, "why": error, "seconds": f"{seconds:g}"}
        self.log(_("Call %(page)s: %(why)s; again in %(seconds)s s") % said)
        time.sleep(seconds)

    def store(self, rows: Iterable[dict[str, str]]) -> None:
        """Keep the planes of a call; those already kept stay as they are."""
        planes = (
            Aircraft(
                run=self.run,
                tail_number=row["tailnum"],
                year=whole(row["year"]),
                manufacturer=row["manufacturer"],
                model=row["model"],
                engines=int(row["engines"]),
                seats=int(row["seats"]),
            )
            for row in rows
        )
        Aircraft.objects.bulk_create(planes, ignore_conflicts=True)


def write_planes(file: IO[str], planes: Iterable[Aircraft]) -> None:
    """Write planes as CSV with a header."""
    columns = ["tail_number", "year", "manufacturer", "model", "engines", "seats"]
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([getattr(plane, name) for name in columns] for plane in planes)


def by_manufacturer(
    planes: "QuerySet[Aircraft, Aircraft]",
) -> Sequence[Mapping[str, object]]:
    """Return how many planes and seats each manufacturer has, most first."""
    named = planes.order_by().values("manufacturer")
    counted = named.annotate(planes=Count("pk"), seats=Sum("seats"))
    return list(counted.order_by("-planes", "manufacturer")[:8])


def flights_of(planes: "QuerySet[Aircraft, Aircraft]") -> dict[str, int]:
    """Return how many flights of 2013 the planes made, and how many were late."""
    flights = Flight.objects.filter(tail_number__in=planes.values("tail_number"))
    is_late = Q(arrival_delay__gte=ON_TIME)
    return flights.aggregate(all=Count("pk"), late=Count("pk", filter=is_late))
