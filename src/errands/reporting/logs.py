"""The ids of the running task, on every log record that is made inside it."""

import logging

from errands.tasks.context import current_context
from errands.tasks.signals import told_of


class TaskFilter(logging.Filter):
    """Give each record ``task_id``, ``task_path``, ``task_queue`` and ``task_attempt``.

    They name the attempt that runs where the record is made, or the one whose
    end receivers of signals are told of there; elsewhere they are empty and 0, so
    a format may use them everywhere. Put it on a handler: a filter of a logger
    sees only what is logged on that very one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; every record passes."""
        context = current_context()
        result = context.task_result if context else told_of()
        told: dict[str, object] = {"id": "", "path": "", "queue": "", "attempt": 0}
        if result is not None:
            told = {
                "id": result.id,
                "path": result.task.module_path,
                "queue": result.task.queue_name,
                "attempt": context.attempt if context else result.attempts,
            }
        for name, value in told.items():
            record.__dict__.setdefault(f"task_{name}", value)
        return True
