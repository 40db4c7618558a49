"""The states of a run.

    scheduled ─┐                     ┌─► cancelling ─► cancelled
               ├─► running ──────────┼─► succeeded
    queued ────┘      │              └─► failed
       ▲              │
       └──────────────┘  another attempt will follow

``waiting`` and ``composing`` are a run that was split, ``paused`` one that
stopped for a while. A run that waits is cancelled at once, without
``cancelling`` in between.
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """Where a run is."""

    SCHEDULED = "scheduled", _("Scheduled")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    WAITING = "waiting", _("Waiting for its pieces")
    COMPOSING = "composing", _("Composing")
    PAUSED = "paused", _("Paused")
    CANCELLING = "cancelling", _("Cancelling")
    CANCELLED = "cancelled", _("Cancelled")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")


ENDED = (State.CANCELLED, State.SUCCEEDED, State.FAILED)
"""Final: nothing takes a run out of these."""

OPEN = tuple(state for state in State if state not in ENDED)
"""A task is responsible for every run in one of these."""

IDLE = (State.SCHEDULED, State.QUEUED, State.PAUSED)
"""No attempt is at work: cancelling such a run ends it at once."""

ATTEMPTED = (State.RUNNING, State.CANCELLING)
"""An attempt has taken the run over and may write to it."""
