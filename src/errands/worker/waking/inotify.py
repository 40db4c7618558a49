"""inotify, of which Python has no module: Linux says that a file was written."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

IN_MODIFY = 0x2
MOST_BYTES = 65_536


class Inotify:
    """Waits until one of some files is written; ``OSError`` where it cannot."""

    def __init__(self, *paths: Path) -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (AttributeError, TypeError) as missing:
            raise OSError("no inotify on this system") from missing
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._selector = DefaultSelector()
        for path in paths:
            if libc.inotify_add_watch(self._file, os.fsencode(path), IN_MODIFY) < 0:
                error = ctypes.get_errno()
                self.close()
                raise OSError(error, "inotify_add_watch", str(path))
        self._selector.register(self._file, EVENT_READ)

    def wait(self, seconds: float) -> bool:
        """Return whether something was written, after ``seconds`` at most."""
        if not self._selector.select(seconds):
            return False
        with suppress(BlockingIOError):
            os.read(self._file, MOST_BYTES)
        return True

    def close(self) -> None:
        """Stop watching."""
        self._selector.close()
        os.close(self._file)
