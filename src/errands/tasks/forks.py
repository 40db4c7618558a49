"""A task that forks, and whose child comes back out of it.

The child has the worker's memory, sockets and claims, and must use none of
them: it would record a task that its parent also records, over the parent's
connection. So it ends as soon as it leaves the task's code.
"""

import os


class staying_in_this_process:  # noqa: N801 - with staying_in_this_process()
    """End a process forked inside the block where it would leave it."""

    __slots__ = ("_process",)

    def __enter__(self) -> None:
        self._process = os.getpid()

    def __exit__(self, *raised: object) -> None:
        if os.getpid() != self._process:
            os._exit(0)
