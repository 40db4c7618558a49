"""Data from a partner: the key, the job, and its rows."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

import partner_server
from errands import Run
from flights.accounts import SignedInRequest
from flights.forms import PartnerForm
from flights.jobs.register import FetchRegister
from flights.models import Aircraft

PLANES_PER_PAGE = 50


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def partner(request: SignedInRequest) -> HttpResponse:
    """Check the key here and now, then fetch in the background."""
    form = PartnerForm(request.POST or None, user=request.user)
    if not form.is_valid():
        keys = {"key": partner_server.KEY, "slow_key": partner_server.SLOW_KEY}
        return render(request, "flights/partner.html", {"form": form, **keys})
    run = FetchRegister.start(request, form.access_pass)
    if colleague := form.cleaned_data["colleague"]:
        run.grant(colleague)
    return redirect(run)


@require_safe
@login_required
def planes(request: HttpRequest, pk: UUID) -> HttpResponse:
    """List every plane of a run, to those who may see the run."""
    runs = Run.objects.visible_to(request.user).filter(job=FetchRegister.path())
    run = get_object_or_404(runs, pk=pk)
    listed = Aircraft.objects.filter(run=run).order_by("tail_number")
    page = Paginator(listed, PLANES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "flights/planes.html", {"run": run, "page": page})
