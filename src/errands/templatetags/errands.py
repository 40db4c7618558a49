"""``{% load errands %}``: the progress of a run on any page of a site."""

from typing import Any

from django import template
from django.http import HttpRequest
from django.template.context import Context
from django.template.exceptions import TemplateSyntaxError

from errands.jobs.state import RunState
from errands.runs.models import Run

register = template.Library()

WISHES = {"download", "redirect", "none"}


@register.inclusion_tag("errands/progress.html", takes_context=True)
def job_progress(
    context: Context, run: Run, *, on_success: str = "none"
) -> dict[str, Any]:
    """Show the progress of a run; it moves by itself where JavaScript runs.

    ``on_success`` lists what happens by itself when the run succeeds while
    somebody watches, or has in the last ten seconds: ``"download"`` starts the
    download, ``"redirect"`` goes to the page or address the job leads to,
    ``"download redirect"`` does what fits, ``"none"`` leaves both as links.
    Another word, what is no run, and a template rendered without its request are
    a ``TemplateSyntaxError``.
    """
    _check(run, on_success)
    request = _request_of(context)
    return {
        "run": run,
        "state": RunState(run, request).as_json(),
        "on_success": on_success,
        "request": request,
        "csp_nonce": context.get("csp_nonce"),
    }


def _check(run: object, on_success: object) -> None:
    if not isinstance(run, Run):
        raise TemplateSyntaxError(
            f"job_progress takes a run, such as Job.start() returns; not {run!r:.50}."
        )
    if not set(str(on_success).split()) <= WISHES:
        raise TemplateSyntaxError(
            f"on_success is {on_success!r:.50}; it is 'download', 'redirect', "
            "'download redirect' or 'none'."
        )


def _request_of(context: Context) -> HttpRequest:
    # Not context["request"], which takes a context processor.
    request: HttpRequest | None = getattr(context, "request", None)
    if request is None:
        raise TemplateSyntaxError(
            "job_progress needs the request, for which it shows the run. Render the "
            "template with it, as render(request, …) does."
        )
    return request
