"""The first page: sign in, load the data, the year in figures."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from errands import Run
from flights import dataset, figures
from flights.jobs.loading import LoadFlights, is_loading, loaded


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the way in, or what can be done here."""
    done = loaded()
    context = {
        "year": figures.overview() if done == dataset.TOTAL else None,
        "loading": loading_for(request) if done < dataset.TOTAL else None,
        "loaded": done,
        "total": dataset.TOTAL,
    }
    return render(request, "flights/home.html", context)


@require_POST
@login_required
def load(request: HttpRequest) -> HttpResponse:
    """Load the data, unless that is being done already."""
    if not is_loading():
        LoadFlights.start(request)
    return redirect("flights:home")


def loading_for(request: HttpRequest) -> Run | None:
    """Return the run that loads the data now, if the visitor may see it."""
    runs = Run.objects.visible_to(request.user).filter(job=LoadFlights.path())
    return runs.open().order_by("-created_at").first()
