"""What all threads of a process share, and a task may change for all of them.

::

    an attempt begins, no other runs ──► directory, umask, locale as at the start

While others run nothing is put back: they may be the ones that changed it, and
in the middle of something. A site whose tasks change these runs them with one
thread. Environment variables and modules are not looked after.
"""

import locale
import logging
import os
from contextlib import suppress

logger = logging.getLogger("errands.worker")


class Surroundings:
    """The working directory, umask and locale that a process began with."""

    def __init__(self) -> None:
        self._directory = _directory()
        # It can only be read by changing it; files made meanwhile are private.
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._as_begun = self._directory, self._umask, self._locale

    def restore(self) -> list[str]:
        """Put back what was changed, and log it; return the names of that."""
        umask = os.umask(self._umask)
        spoken = locale.setlocale(locale.LC_ALL)
        if (_directory(), umask, spoken) == self._as_begun:
            return []
        changed = ["umask"] if umask != self._umask else []
        if spoken != self._locale:
            changed.append("locale")
            with suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, self._locale)
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
            logger.exception("the worker's directory %s is gone", self._directory)
        return True


def _directory() -> str | None:
    """Return the working directory, None where it has been deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - asked after each attempt
    except OSError:
        return None
