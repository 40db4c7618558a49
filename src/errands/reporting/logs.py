"""The ids of the running task, on every log record that is made inside it."""

import logging

from errands.tasks.context import current_context


class TaskFilter(logging.Filter):
    """Give each record ``task_id``, ``task_path``, ``task_queue`` and ``task_attempt``.

    They name the attempt that runs where the record is made; outside of one
    they are empty and 0, so a format may use them everywhere. Put it on a
    handler: a filter of a logger sees only what is logged on that very one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; every record passes."""
        context = current_context()
        if context is None:
            told: dict[str, object] = dict.fromkeys(("id", "path", "queue"), "")
            told["attempt"] = 0
        else:
            result = context.task_result
            told = {
                "id": result.id,
                "path": result.task.module_path,
                "queue": result.task.queue_name,
                "attempt": context.attempt,
            }
        for name, value in told.items():
            record.__dict__.setdefault(f"task_{name}", value)
        return True
