"""The visitor's own CSV file."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from flights.accounts import SignedInRequest
from flights.forms import UploadForm
from flights.jobs.uploads import SummariseUpload
from flights.models import Upload


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def upload(request: SignedInRequest) -> HttpResponse:
    """Take a file, stream it into the storage and start its summary."""
    form = UploadForm(request.POST or None, request.FILES or None)
    if not form.is_valid():
        return render(request, "flights/upload.html", {"form": form})
    file = form.cleaned_data["file"]
    stored = Upload.objects.create(owner=request.user, file=file, name=file.name[:255])
    title = _("Summary of %(name)s") % {"name": stored.name}
    run = SummariseUpload.using(title=title, subject=stored).start(request, stored)
    return redirect(run)
