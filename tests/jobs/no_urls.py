"""The URLs of a site that has forgotten the pages of jobs."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
