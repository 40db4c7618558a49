"""What a queue may be called: what ``--queues`` can name, and a column holds."""

from errands.queue.limits import NAME_LIMIT
from errands.text import clean_line

# In ``--queues`` they part queues, end a prefix and begin a limit.
MEANT_BY_SELECTIONS = {",", "*", ":"}
ONE_NAME = f"one line of 1 to {NAME_LIMIT} characters, without ',', '*' and ':'"


def queue_name(name: str) -> str:
    """Return a queue's name; ``ValueError`` where no task could have it."""
    if not is_queue_name(name):
        raise ValueError(
            f"{clean_line(repr(name))} is no queue: a name is {ONE_NAME}. Name each "
            "queue by itself."
        )
    return name


def is_queue_name(name: object) -> bool:
    """Return whether a worker can be told to take a queue of that name."""
    is_one_line = name == clean_line(name, NAME_LIMIT)
    return bool(name) and is_one_line and not set(str(name)) & MEANT_BY_SELECTIONS
