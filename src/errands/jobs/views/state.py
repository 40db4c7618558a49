"""The JSON state, with an ETag: asking again costs no body while it lasts."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response
from django.views.decorators.http import require_safe

from errands.jobs.access import visible_run
from errands.jobs.state import RunState
from errands.jobs.views.answers import private, sealed
from errands.runs.models import Run


@require_safe
@private
def state(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Return the JSON state of a run, or 304."""
    return state_response(visible_run(request, pk), request)


def state_response(run: Run, request: HttpRequest) -> HttpResponse:
    """Return the JSON state of a run the user may see, or 304."""
    current = RunState(run, request)
    unchanged: HttpResponse | None = get_conditional_response(
        request, etag=current.etag, response=sealed(HttpResponse())
    )
    if unchanged is not None and unchanged.status_code != 200:
        unchanged["ETag"] = current.etag
        return unchanged
    return JsonResponse(current.as_json(), headers={"ETag": current.etag})
