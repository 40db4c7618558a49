"""Watching the file of SQLite.

``PRAGMA data_version`` changes with every commit of another connection; it
costs 3 µs, but asking often costs a wake-up of the processor each time. On
Linux inotify says when to ask, and the answer is asked for each 0.25 s besides
(a file that another machine writes makes no events). Elsewhere it is asked for
every 20 ms.

An event comes with the last page of a commit, an instant before the commit
itself: after an event the version is asked for until it changes, for 64 ms.

Where another file stands in its place (deleted and migrated again, or restored),
what was opened is a file that nobody else sees any more. To this process that is an
outage: all its loops open their connections anew.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import OperationalError

from errands.sidecar import close_sidecars
from errands.worker.waking.bell import PAUSE_SECONDS, Bells
from errands.worker.waking.inotify import Inotify
from errands.worker.waking.wiring import Wiring

BETWEEN_SECONDS = 0.02
UNASKED_SECONDS = 0.25
GLANCES = (0.0, 0.0005, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032)


class Watching(Wiring):
    """Commits of other connections to one file."""

    _inotify: Inotify | None = None

    def is_sound(self) -> bool:
        """Return True: what is in memory only, this process alone writes."""
        return True

    def wait(self, bells: Bells) -> None:
        """Ring once for all that was committed; more of it waits 8 ms."""
        for pause in GLANCES if self._has_event() else GLANCES[:1]:
            time.sleep(pause)
            if self._has_changed():
                bells.ring_all()
                time.sleep(PAUSE_SECONDS)
                return
        if self._is_replaced():
            close_sidecars()
            raise OperationalError(f"another file is at {self._path} now")

    def __exit__(self, *error: Any) -> None:
        """Close connection and watch."""
        super().__exit__(*error)
        if self._inotify is not None:
            self._inotify.close()

    def _open(self) -> None:
        self._connection.ensure_connection()
        self._version = self._read_version()
        self._path = path = Path(str(self._connection.settings_dict["NAME"]))
        self._file = _identity(path)
        beside = [path, Path(f"{path}-wal")]
        with suppress(OSError):
            self._inotify = Inotify(*(each for each in beside if each.exists()))

    def _has_event(self) -> bool:
        """Wait, and return whether the version is about to change."""
        if self._inotify is not None:
            return self._inotify.wait(UNASKED_SECONDS)
        time.sleep(BETWEEN_SECONDS)
        return False

    def _has_changed(self) -> bool:
        before, self._version = self._version, self._read_version()
        return self._version != before

    def _is_replaced(self) -> bool:
        """Return whether there is another file; none yet is no reason to make one."""
        found = _identity(self._path)
        return None not in (found, self._file) and found != self._file

    def _read_version(self) -> int:
        with self._connection.wrap_database_errors:
            row = self._connection.connection.execute("PRAGMA data_version").fetchone()
        return int(row[0])


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file a path means; None where it means none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
