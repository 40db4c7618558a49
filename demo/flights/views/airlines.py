"""The airlines, and what can be made of their flights."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from flights import figures
from flights.jobs.exports import ExportCarrier
from flights.jobs.reports import AirlineReport
from flights.models import Airline


@require_safe
@login_required
def airlines(request: HttpRequest) -> HttpResponse:
    """List the airlines with their buttons."""
    listed = figures.airlines()
    greatest = max((entry["flights"] for entry in listed), default=0)
    context = {"airlines": listed, "greatest": greatest}
    return render(request, "flights/airlines.html", context)


@require_POST
@login_required
def export(request: HttpRequest, code: str) -> HttpResponse:
    """Start the export of an airline's flights."""
    airline = get_object_or_404(Airline, code=code)
    title = _("%(airline)s: flights as CSV") % {"airline": airline}
    return redirect(ExportCarrier.using(title=title).start(request, airline))


@require_POST
@login_required
def report(request: HttpRequest, code: str) -> HttpResponse:
    """Start the report on an airline."""
    airline = get_object_or_404(Airline, code=code)
    title = _("%(airline)s in 2013") % {"airline": airline}
    return redirect(AirlineReport.using(title=title).start(request, airline))
