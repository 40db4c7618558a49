"""The memory a child shares with its supervisor: a file of 64-bit words.

::

    word 0      1 once the child is ready, 2 once it wants to be replaced
    word 1, 2   the id under which the child claims now
    word 3, 4   tasks that ended well, and not
    word 5      attempts that count for ``--limit``
    word 6      raised whenever somebody saw suspects that wait
    word 7      how the child has ended by itself: 1 with nothing left to do,
                2 because somebody told it to stop; 0 where it has not
    word 8      raised about once a second, for as long as threads run there
    then, for each place (first the threads, behind them the coroutines):
    first       the id of the task that started there last (0: none)
    second      the instant that task is overdue, in ns of the monotonic
                clock, which all processes of a system share (0: never)

The child writes, the supervisor reads: to say that the worker is ready, to
count, to see what is overdue, and to learn after a sudden death which of the
claimed tasks had started. A task's id is written before its first line can run
and stays until the place is taken again, so a process that dies just after a
task returned is still charged to that task. A task that has been settled
meanwhile is no longer running, and naming it does nothing.

The deadline is zero whenever the id changes, and goes back to zero when the
attempt has ended. So an overdue place names the task that is overdue, and
the words of a process that has been killed say whether it still was.

If the child dies between the two words of a new id, the supervisor reads an
id nobody has: it rescues nothing, and the expired lease does.

The file may be deleted at any time by who cleans up temporary directories, such as
systemd after ten days. Who has mapped it keeps it; the next child gets a new one,
elsewhere if need be.
"""

import mmap
import os
import tempfile
import time
from pathlib import Path
from uuid import UUID

WORD = 8
STAGE, IDENTITY, SUCCEEDED, FAILED = 0, 1, 3, 4
ATTEMPTS, SUSPECTS, END, BEATS, CHARGED, PLACES = 5, 6, 7, 8, 9, 10
READY, LEAVING = 1, 2
DONE, STOPPED = 1, 2
LOWER_HALF = (1 << 64) - 1


class Slots:
    """One child's words, in either process."""

    def __init__(self, memory: mmap.mmap, path: Path | None = None) -> None:
        self.path = path
        self._is_made_anew = False
        self._map = memory
        self._words = memoryview(memory).cast("Q")

    @classmethod
    def create(cls, path: Path, places: int) -> "Slots":
        """Make the file for a child of so many places, all words zero.

        Elsewhere, where the directory has been deleted.
        """
        try:
            path.write_bytes(bytes(WORD * (PLACES + 2 * places)))
        except FileNotFoundError:
            slots = cls.private(places)
            slots._make_anew()
            return slots
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Slots":
        """Map the file that the supervisor made."""
        return cls(_mapped(path), path)

    @classmethod
    def private(cls, places: int) -> "Slots":
        """Return words for a process that has no supervisor."""
        return cls(mmap.mmap(-1, WORD * (PLACES + 2 * places)))

    def prepare(self, worker_id: UUID) -> None:
        """Clear what the last child left; the counts go on.

        ``OSError`` where the file has been deleted and no other can be made.
        """
        if self.path is not None and not self.path.exists():
            self._make_anew()
        self._words[STAGE] = self._words[END] = 0
        self.identify(worker_id)
        for word in range(PLACES, len(self._words)):
            self._words[word] = 0

    def identify(self, worker_id: UUID) -> None:
        """Note the id under which the child claims from now on."""
        self._words[IDENTITY] = worker_id.int >> 64
        self._words[IDENTITY + 1] = worker_id.int & LOWER_HALF

    def start(self, place: int, task_id: int) -> None:
        """Note that a task is about to run in a place, for now without a deadline."""
        word = PLACES + 2 * place
        self._words[word + 1] = 0
        self._words[word] = task_id

    def clear(self, place: int) -> None:
        """Note that no line of the task in a place has run, nor will."""
        self._words[PLACES + 2 * place] = 0

    def limit(self, place: int, deadline_ns: int) -> None:
        """Note the instant (``time.monotonic_ns()``) the task there is overdue."""
        self._words[PLACES + 2 * place + 1] = deadline_ns

    def free(self, place: int) -> None:
        """Note that the attempt has ended: nothing there is overdue any more."""
        self._words[PLACES + 2 * place + 1] = 0

    def count(self, *, attempts: int = 0, succeeded: int = 0, failed: int = 0) -> None:
        """Add to the tally. Only one thread of the child may."""
        self._words[ATTEMPTS] += attempts
        self._words[SUCCEEDED] += succeeded
        self._words[FAILED] += failed

    def charge(self, attempts: int) -> None:
        """Count attempts that ended with their process. Only its supervisor may."""
        self._words[CHARGED] += attempts

    def say_ready(self) -> None:
        """Note that the child has loaded its tasks and has begun to claim."""
        if not self._words[STAGE]:
            self._words[STAGE] = READY

    def say_leaving(self) -> None:
        """Note that the child ends soon, and that another should follow it."""
        self._words[STAGE] = LEAVING

    def say_goodbye(self, *, is_done: bool) -> None:
        """Note that the child ends, and holds nothing any more."""
        self._words[END] = DONE if is_done else STOPPED

    def beat(self) -> None:
        """Note that threads run here. Only one thread of the child may."""
        self._words[BEATS] += 1

    def report_suspects(self) -> None:
        """Note that suspects wait in the queue. Only one thread of the child may."""
        self._words[SUSPECTS] += 1

    @property
    def is_ready(self) -> bool:
        """Whether the child has been ready."""
        return self._words[STAGE] != 0

    @property
    def is_leaving(self) -> bool:
        """Whether the child ends, or ended, to be replaced."""
        return self._words[STAGE] == LEAVING

    @property
    def has_said_goodbye(self) -> bool:
        """Whether the child has ended by itself, with all of it settled."""
        return self._words[END] != 0

    @property
    def is_done(self) -> bool:
        """Whether the child has ended because nothing was left to do."""
        return self._words[END] == DONE

    @property
    def worker_id(self) -> UUID:
        """The id under which the child claims."""
        high, low = self._words[IDENTITY], self._words[IDENTITY + 1]
        return UUID(int=high << 64 | low)

    @property
    def started(self) -> set[int]:
        """The tasks that may have run a line."""
        return set(self._words[PLACES::2].tolist()) - {0}

    def overdue(self, now_ns: int | None = None) -> set[int]:
        """Return the tasks that run although their deadline is over."""
        now = time.monotonic_ns() if now_ns is None else now_ns
        deadlines = self._words[PLACES + 1 :: 2].tolist()
        return {
            self._words[PLACES + 2 * place]
            for place, deadline in enumerate(deadlines)
            if 0 < deadline <= now
        }

    @property
    def succeeded(self) -> int:
        """How many tasks ended well."""
        return self._words[SUCCEEDED]

    @property
    def failed(self) -> int:
        """How many tasks ended in another way."""
        return self._words[FAILED]

    @property
    def attempts(self) -> int:
        """How many attempts were made, by all children of the place."""
        return self._words[ATTEMPTS] + self._words[CHARGED]

    @property
    def beats(self) -> int:
        """How often threads were seen to run, in all children of the place."""
        return self._words[BEATS]

    @property
    def reports(self) -> int:
        """How often somebody reported suspects."""
        return self._words[SUSPECTS]

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._map.close()
        if self._is_made_anew and self.path is not None:
            self.path.unlink(missing_ok=True)

    def _make_anew(self) -> None:
        """Make a file of these words under a name that nobody can have taken."""
        number, name = _made_anew()
        with os.fdopen(number, "wb") as file:
            file.write(self._map)
        self._words.release()
        self._map.close()
        self.path, self._is_made_anew = Path(name), True
        self._map = _mapped(self.path)
        self._words = memoryview(self._map).cast("Q")


def _made_anew() -> tuple[int, str]:
    """Return a new file; where ``TMPDIR`` itself is gone, in another directory."""
    try:
        return tempfile.mkstemp(prefix="errands-")
    except FileNotFoundError:
        # Python has chosen it when the first file was made; now it chooses again.
        tempfile.tempdir = None
        return tempfile.mkstemp(prefix="errands-")


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)
