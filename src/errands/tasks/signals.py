"""Signals of a task's life that ``django.tasks`` has not.

All are sent with ``send_robust``: a receiver that raises is logged by Django
and changes no outcome. ``sender`` is the backend's class and ``task_result``
the result so far, as in Django's own.
"""

from django.dispatch import Signal

task_retrying = Signal()
"""An attempt raised and the task will be tried again; also ``after``."""

task_discarded = Signal()
"""The task was discarded; sent before Django's ``task_finished``."""

task_rescued = Signal()
"""The task was taken back from a dead worker."""
