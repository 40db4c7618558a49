"""The same task for each engine: it does nothing."""

import django.tasks

import errands


@errands.task
def ours() -> None:
    """Do nothing, on our queue."""


@django.tasks.task(backend="django-tasks-db")
def django_tasks_db() -> None:
    """Do nothing, on django-tasks-db."""
