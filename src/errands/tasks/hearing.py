"""Whether anybody would hear a signal of ``django.tasks``.

Django connects a receiver of its own to each, which writes to its log. Where it
is the only one and the log takes nothing of its level, to send is in vain; for
thousands of tasks that is felt.
"""

import logging

from django.dispatch import Signal
from django.tasks import signals

LOGGING = {
    signals.task_enqueued: (signals.log_task_enqueued, logging.DEBUG),
    signals.task_started: (signals.log_task_started, logging.INFO),
}

logger = logging.getLogger("django.tasks")


def is_heard(signal: Signal) -> bool:
    """Return False where sending the signal would reach nobody."""
    if len(signal.receivers) != 1:
        return bool(signal.receivers)
    (_, receiver, *_), (logs, level) = signal.receivers[0], LOGGING[signal]
    return receiver() is not logs or logger.isEnabledFor(level)
