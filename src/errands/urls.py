"""The pages of jobs: ``path("jobs/", include("errands.urls"))``."""

from django.urls import path

from errands.jobs.views import events, pages, results, state

app_name = "errands"

urlpatterns = [
    path("", pages.runs, name="runs"),
    path("<uuid:pk>/", pages.run, name="run"),
    path("<uuid:pk>/state.json", state.state, name="state"),
    path("<uuid:pk>/events", events.events, name="events"),
    path("<uuid:pk>/page/", results.page, name="page"),
    path("<uuid:pk>/results/<str:name>/", results.result, name="result"),
    path("<uuid:pk>/cancel", pages.cancel, name="cancel"),
]
