"""The addresses of the demo site."""

from django.urls import include, path

urlpatterns = [
    path("", include("flights.urls")),
    path("jobs/", include("errands.urls")),
]
