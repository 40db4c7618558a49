"""The URLs of the site under test."""

from django.urls import include, path

urlpatterns = [path("jobs/", include("errands.urls"))]
