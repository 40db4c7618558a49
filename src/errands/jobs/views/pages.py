"""The pages: one run, the runs of a user, and cancelling."""

from contextlib import suppress
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Case, Value, When
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST, require_safe

from errands.jobs.access import cancellable_run, visible_run
from errands.jobs.state import RunState
from errands.jobs.views.answers import private
from errands.jobs.views.state import state_response
from errands.runs.models import Run
from errands.runs.states import OPEN

RUNS_PER_PAGE = 25
REFRESH_SECONDS = 5


@require_safe
@private
@login_required
def runs(request: HttpRequest) -> HttpResponse:
    """List the user's runs, open ones first, 25 to a page, in four queries."""
    is_open = Case(When(state__in=OPEN, then=Value(0)), default=Value(1))
    visible = Run.objects.visible_to(request.user).order_by(is_open, "-created_at")
    page = Paginator(visible, RUNS_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "errands/runs.html", {"page": page})


@require_safe
@private
def run(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a run; to a client that prefers JSON, its state."""
    found = visible_run(request, pk)
    if wants_json(request):
        response = state_response(found, request)
    else:
        response = run_page(found, request)
    patch_vary_headers(response, ["Accept"])
    return response


@require_POST
@private
def cancel(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Cancel a run and lead back to its page."""
    found = cancellable_run(request, pk)
    with suppress(Run.DoesNotExist):  # deleted since: its page says so
        found.cancel()
    return redirect(found)


def run_page(run: Run, request: HttpRequest, *, status: int = 200) -> HttpResponse:
    """Return the page of a run.

    ``?refresh=1`` is the visitor's own wish to have it reloaded, for browsers
    without JavaScript; the page never reloads unasked.
    """
    refreshes = "refresh" in request.GET and not run.is_finished
    context = {
        "run": run,
        "state": RunState(run, request).as_json(),
        "refreshes": refreshes,
    }
    response = render(request, "errands/run.html", context, status=status)
    if refreshes:
        # A header, so that it works below any base template of a site.
        response["Refresh"] = REFRESH_SECONDS
    return response


def wants_json(request: HttpRequest) -> bool:
    """Return whether the client asks for JSON rather than a page."""
    if request.GET.get("format") == "json":
        return True
    preferred = request.get_preferred_type(["text/html", "application/json"])
    return preferred == "application/json"
