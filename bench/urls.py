"""The pages that are measured."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import include, path

from bench.jobs import Nothing


def start(request: HttpRequest) -> HttpResponse:
    """Start a job and lead to its page."""
    return redirect(Nothing.start(request))


urlpatterns = [path("start", start), path("jobs/", include("errands.urls"))]
