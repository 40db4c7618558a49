"""A task that forks, and whose child comes back into the worker.

The child has the worker's memory, sockets and claims, and must use none of
them: it would settle a task that its parent also settles, over the parent's
connection.
"""

import os

_is_forked = False


def _note_fork() -> None:
    global _is_forked  # noqa: PLW0603 - the fact belongs to the process
    _is_forked = True


def guard_forks() -> None:
    """From now on know a process forked from this one."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)


def leave_if_forked() -> None:
    """End a child that a task forked and that has returned from it."""
    if _is_forked:
        os._exit(0)
