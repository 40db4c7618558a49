"""A job long enough to be interrupted by a deploy."""

from datetime import date, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils.translation import gettext_lazy as _

from errands import Job, Page
from flights.charts import calendar
from flights.models import ON_TIME, DayCheck, Flight
from flights.pace import paced

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
STRETCH = 7


class PunctualityCalendar(Job):
    """How punctual each day of the year was, checked day by day.

    The step remembers the last finished day. A day may come again after a
    crash, and then its row replaces the former.
    """

    title = _("Punctuality, day by day")

    def perform(self) -> Page:
        """Check the days that no earlier attempt has checked."""
        with self.step("days", title=_("Checking each day")) as step:
            left = days_after(step.cursor)
            tracked = step.track(left, cursor=lambda day: day)
            for day in paced(tracked, total=len(left), stretch=STRETCH):
                self.check(day)
        checks = DayCheck.objects.filter(run=self.run).order_by("day")
        return Page(
            context={
                "cells": calendar((c.day, share_of(c), str(c)) for c in checks),
                "attempts": attempts(checks),
                "year": checks.aggregate(flights=Sum("flights"), on_time=Sum("on_time")),
                "best": max(checks, key=share_of),
                "worst": min(checks, key=share_of),
            }
        )

    def check(self, day: date) -> None:
        """Count the flights of one day and keep the numbers."""
        figures = Flight.objects.filter(day=day).aggregate(
            flights=Count("pk"),
            on_time=Count("pk", filter=Q(departure_delay__lt=ON_TIME)),
        )
        DayCheck.objects.update_or_create(
            run=self.run, day=day, defaults=figures | {"attempt": self.run.attempt}
        )


def days_after(last: date | None) -> list[date]:
    """Return the days of 2013 after one of them, or all."""
    first = last + timedelta(days=1) if last else FIRST
    return [first + timedelta(days=n) for n in range((LAST - first).days + 1)]


def share_of(check: DayCheck) -> float:
    """Return the share of a day's flights that left on time."""
    return check.on_time / check.flights if check.flights else 0.0


def attempts(checks: Any) -> list[dict[str, Any]]:
    """Return the first and last day that each attempt checked."""
    spans = []
    for attempt, checked in groupby(checks, key=lambda check: check.attempt):
        days = [check.day for check in checked]
        spans.append({"attempt": attempt, "first": days[0], "last": days[-1]})
    return spans
