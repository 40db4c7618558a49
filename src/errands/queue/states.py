"""Where a task is, and how one ended."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskState(models.IntegerChoices):
    """Where a live task is; ``scheduled → ready → running → (result)``.

    ``blocked`` waits for a slot of its concurrency key; a ``suspect`` had started in
    a process that died, and waits to run alone.
    """

    SCHEDULED = 0, _("scheduled")
    READY = 1, _("ready")
    RUNNING = 2, _("running")
    BLOCKED = 3, _("blocked")
    SUSPECT = 4, _("suspect")


class ResultStatus(models.IntegerChoices):
    """How a task ended; all but the first are FAILED to ``django.tasks``."""

    SUCCEEDED = 1, _("succeeded")
    FAILED = 2, _("failed")
    DISCARDED = 3, _("discarded")
    CANCELLED = 4, _("cancelled")
    CRASHED = 5, _("crashed")
    LOST = 6, _("lost")
