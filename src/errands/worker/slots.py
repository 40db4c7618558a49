"""The memory a child shares with its supervisor: a file of 64-bit words.

::

    word 0      1 once the child is ready
    word 1, 2   the id under which the child claims now
    word 3, 4   tasks that ended well, and not
    word 5 …    per thread: the id of the task it started last (0: none yet)

The child writes, the supervisor reads: to say that the worker is ready, to
count, and to learn after a sudden death which of the claimed tasks had
started. A thread's word is written before the task's first line can run and
stays until the thread starts another, so a process that dies just after a
task returned is still charged to that task. A task that has been settled
meanwhile is no longer running, and naming it does nothing.

If the child dies between the two words of a new id, the supervisor reads an
id nobody has: it rescues nothing, and the expired lease does.
"""

import mmap
from pathlib import Path
from uuid import UUID

WORD = 8
READY, IDENTITY, SUCCEEDED, FAILED, STARTED = 0, 1, 3, 4, 5
LOWER_HALF = (1 << 64) - 1


class Slots:
    """One child's words, in either process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, path: Path, *, threads: int) -> "Slots":
        """Make the file for a child of so many threads, all words zero."""
        path.write_bytes(bytes(WORD * (STARTED + threads)))
        return cls(path)

    def prepare(self, worker_id: UUID) -> None:
        """Clear what the last child left; the counts go on."""
        self._words[READY] = 0
        self.identify(worker_id)
        for word in range(STARTED, len(self._words)):
            self._words[word] = 0

    def identify(self, worker_id: UUID) -> None:
        """Note the id under which the child claims from now on."""
        self._words[IDENTITY] = worker_id.int >> 64
        self._words[IDENTITY + 1] = worker_id.int & LOWER_HALF

    def start(self, thread: int, task_id: int) -> None:
        """Note that a thread is about to run a task."""
        self._words[STARTED + thread] = task_id

    def count(self, *, succeeded: int = 0, failed: int = 0) -> None:
        """Add to the tally. Only one thread of the child may."""
        self._words[SUCCEEDED] += succeeded
        self._words[FAILED] += failed

    def say_ready(self) -> None:
        """Note that the child has loaded its tasks and has begun to claim."""
        self._words[READY] = 1

    @property
    def is_ready(self) -> bool:
        """Whether the child is ready."""
        return self._words[READY] == 1

    @property
    def worker_id(self) -> UUID:
        """The id under which the child claims."""
        high, low = self._words[IDENTITY], self._words[IDENTITY + 1]
        return UUID(int=high << 64 | low)

    @property
    def started(self) -> set[int]:
        """The tasks that may have run a line."""
        return set(self._words[STARTED:]) - {0}

    @property
    def succeeded(self) -> int:
        """How many tasks ended well."""
        return self._words[SUCCEEDED]

    @property
    def failed(self) -> int:
        """How many tasks ended in another way."""
        return self._words[FAILED]

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()
