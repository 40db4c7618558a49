"""What goes wrong in every site: a bug, and a deploy at the wrong moment."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from errands import Run
from flights import deploys
from flights.forms import PunctualityForm
from flights.jobs.punctuality import PunctualityCalendar
from flights.jobs.reports import AirportPunctuality

DIVIDES_BY_ZERO = {"airline": "HA", "airport": "LGA"}


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def failure(request: HttpRequest) -> HttpResponse:
    """Offer a job that has a bug."""
    form = PunctualityForm(request.POST or None, initial=DIVIDES_BY_ZERO)
    if not form.is_valid():
        return render(request, "flights/failure.html", {"form": form})
    return redirect(AirportPunctuality.start(request, **form.cleaned_data))


@require_safe
@login_required
def interruption(request: HttpRequest) -> HttpResponse:
    """Show the visitor's latest long job, and the button that interrupts it."""
    runs = Run.objects.visible_to(request.user).filter(job=PunctualityCalendar.path())
    context = {
        "run": runs.order_by("-created_at").first(),
        "can_deploy": deploys.is_watched(),
    }
    return render(request, "flights/interruption.html", context)


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Start a job of some 40 seconds."""
    PunctualityCalendar.start(request)
    return redirect("flights:interruption")


@require_POST
@login_required
def deploy(_request: HttpRequest) -> HttpResponse:
    """Have the worker stopped with SIGTERM and a new one started."""
    deploys.request()
    return redirect("flights:interruption")
