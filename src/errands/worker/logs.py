"""What errands logs, where the log itself is broken.

A task may close ``sys.stderr`` or add a handler that raises, and an exception may
refuse to be shown. Then each line of the log raises, in whichever thread says it: an
executor would end, and what it holds run for ever.
"""

import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from errands.tasks.interrupting import REASONS

LOGGERS = tuple(
    f"errands.{room}" for room in ("jobs", "queue", "runs", "sweeps", "tasks", "worker")
)

type Handle = Callable[[logging.LogRecord], None]


class _Unbroken:
    """Handles a record as before, and drops what that raises."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __call__(self, record: logging.LogRecord) -> None:
        try:
            self._handle(record)
        except REASONS:
            # Meant for the task that logs.
            raise
        except BaseException:  # noqa: BLE001 - handlers and exceptions raise anything
            with suppress(BaseException):
                traceback.print_exc(file=sys.__stderr__)


def survive_broken_logs() -> None:
    """Let no line of our own logs raise; a second time is nothing.

    What a handler raises is printed, where that is possible, and the line is lost.
    """
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not isinstance(logger.handle, _Unbroken):
            logger.handle = _Unbroken(logger.handle)  # type: ignore[method-assign]
