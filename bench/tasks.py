"""The task of every queue that speaks ``django.tasks``: it does nothing."""

from django.tasks import task

from bench.ticks import tick


@task
def nothing() -> None:
    """Do nothing, and be counted."""
    tick()
