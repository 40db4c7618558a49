"""Whether anybody would hear a signal of ``django.tasks``.

Django connects a receiver of its own to each, which writes to its log. Where it
is the only one and the log takes nothing of its level, to send is in vain; for
thousands of tasks that is felt.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal
from django.tasks import signals


def _with_only(receiver: Callable[..., Any]) -> Signal:
    signal = Signal()
    signal.connect(receiver)
    return signal


LOGGING = {
    signals.task_enqueued: (_with_only(signals.log_task_enqueued), logging.DEBUG),
    signals.task_started: (_with_only(signals.log_task_started), logging.INFO),
}

logger = logging.getLogger("django.tasks")


def is_heard(signal: Signal) -> bool:
    """Return False where sending the signal would reach nobody."""
    djangos, level = LOGGING[signal]
    return signal.receivers != djangos.receivers or logger.isEnabledFor(level)
