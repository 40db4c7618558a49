"""What all threads of a process share, and a task may change for all of them.

::

    an attempt begins, no other runs ──► directory, umask, locale as at the start

While others run nothing is put back: they may be the ones that changed it, and
in the middle of something. A site whose tasks change these runs them with one
thread. Environment variables and modules are not looked after.
"""

import ctypes
import locale
import logging
import os
from contextlib import suppress

logger = logging.getLogger("errands.worker")

LONGEST_PATH = 4096

# Asked before each attempt. A PyDLL keeps the interpreter while it calls: ``os.getcwd``
# would let go of it, and a thread that is busy gives it back 5 ms later. All threads
# are in the same directory. ``locale.setlocale`` takes twice as long as what it calls.
_libc = ctypes.PyDLL(None) if os.name == "posix" else None
_path = ctypes.create_string_buffer(LONGEST_PATH)
if _libc is not None:
    _libc.getcwd.restype = ctypes.c_void_p
    _libc.setlocale.restype = ctypes.c_char_p


class Surroundings:
    """The working directory, umask and locale that a process began with."""

    def __init__(self) -> None:
        self._directory = _directory()
        # It can only be read by changing it; files made meanwhile are private.
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._locale = _spoken()
        self._as_begun = self._directory, self._umask, self._locale

    def restore(self) -> list[str]:
        """Put back what was changed, and log it; return the names of that."""
        umask = os.umask(self._umask)
        spoken = _spoken()
        if (_directory(), umask, spoken) == self._as_begun:
            return []
        changed = ["umask"] if umask != self._umask else []
        if spoken != self._locale:
            changed.append("locale")
            with suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, os.fsdecode(self._locale))
        if self._restore_directory():
            changed.append("working directory")
        if changed:
            logger.warning("a task had changed the process: %s", ", ".join(changed))
        return changed

    def _restore_directory(self) -> bool:
        if self._directory is None or _directory() == self._directory:
            return False
        try:
            os.chdir(self._directory)
        except OSError:
            gone = os.fsdecode(self._directory)
            logger.exception("the worker's directory %s is gone", gone)
        return True


def _directory() -> bytes | None:
    """Return the working directory, None where it has been deleted."""
    if _libc is not None:
        return _path.value if _libc.getcwd(_path, LONGEST_PATH) else None
    try:
        return os.getcwdb()  # noqa: PTH109 - bytes, as above
    except OSError:
        return None


def _spoken() -> bytes:
    """Return the locale, of all its categories."""
    if _libc is not None:
        spoken: bytes = _libc.setlocale(locale.LC_ALL, None)
        return spoken
    return os.fsencode(locale.setlocale(locale.LC_ALL))
