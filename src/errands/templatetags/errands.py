"""``{% load errands %}``: the progress of a run on any page of a site."""

from typing import Any

from django import template
from django.template.context import RequestContext

from errands.jobs.state import RunState
from errands.runs.models import Run

register = template.Library()


@register.inclusion_tag("errands/progress.html", takes_context=True)
def job_progress(
    context: RequestContext, run: Run, *, on_success: str = "none"
) -> dict[str, Any]:
    """Show the progress of a run; it moves by itself where JavaScript runs.

    ``on_success`` lists what happens by itself when the run succeeds while
    somebody watches, or has in the last ten seconds: ``"download"`` starts the
    download, ``"redirect"`` goes to the page or address the job leads to;
    ``"none"`` leaves both as links.
    The page needs ``errands/jobs.css``.
    """
    # Not context["request"], which takes a context processor.
    request = context.request
    return {
        "run": run,
        "state": RunState(run, request).as_json(),
        "on_success": on_success,
        "request": request,
        "csp_nonce": context.get("csp_nonce"),
    }
