"""Whether anybody would hear a signal of ``django.tasks``.

Django connects a receiver of its own to each, which writes to its log (of ends
ours does, in its place). Where it is the only one and the log takes nothing of
its level, to send is in vain; for thousands of tasks that is felt. Our own
receivers of ``task_finished`` look after jobs, and tasks that failed: with them
alone, the success of any other task is in vain too.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.dispatch import Signal
from django.tasks import signals

from errands.tasks.ending import log_end


def _with_only(receiver: Callable[..., Any]) -> Signal:
    signal = Signal()
    signal.connect(receiver)
    return signal


LOGGING = {
    signals.task_enqueued: (_with_only(signals.log_task_enqueued), logging.DEBUG),
    signals.task_started: (_with_only(signals.log_task_started), logging.INFO),
    signals.task_finished: (_with_only(log_end), logging.INFO),
}

logger = logging.getLogger("django.tasks")


def is_heard(signal: Signal) -> bool:
    """Return False where sending the signal would reach nobody."""
    usual, level = LOGGING[signal]
    return signal.receivers != usual.receivers or logger.isEnabledFor(level)


def connect_to_ends(receiver: Callable[..., Any], *, dispatch_uid: str) -> None:
    """Connect one of ours to ``task_finished``, for jobs and for what failed.

    It may be told of other ends, and must not need to be.
    """
    usual, _ = LOGGING[signals.task_finished]
    for signal in (signals.task_finished, usual):
        signal.connect(receiver, dispatch_uid=dispatch_uid)
