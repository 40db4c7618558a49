"""What the system says about processes: whether one lives, and which one it is.

Only Linux does; elsewhere nobody is known to have ended or to be stopped.
"""

import os
import sys
from pathlib import Path

# States in /proc/PID/stat: a zombie, and dead; stopped by a signal, and traced.
ENDED, STOPPED = ("Z", "X"), ("T", "t")
# The start time, among the numbers behind the state.
STARTED_AT = 18


def process_boot(pid: int) -> str:
    """Return what tells this process from a later one of the same pid.

    Boot id, pid namespace and start time of the process; empty where the
    system does not say or the process is gone. One that has ended and only
    waits to be reaped, for ever where nobody does, is gone.
    """
    try:
        state, *numbers = _stat(pid)
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return "" if state in ENDED else f"{boot_id} {namespace} {numbers[STARTED_AT]}"


def has_ended(pid: int, boot: str) -> bool:
    """Return whether the system says that a process of this system is gone.

    Not where it says nothing: processes of other users may be hidden, and ours may
    have no file descriptor left to look.
    """
    try:
        state, *numbers = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return _is_nobody(pid)
    except OSError:
        return False
    return state in ENDED or numbers[STARTED_AT] != boot.rpartition(" ")[2]


def is_stopped(pid: int) -> bool:
    """Return whether somebody has stopped a process: SIGSTOP, or a debugger."""
    try:
        return _stat(pid)[0] in STOPPED
    except OSError:
        return False


def _stat(pid: int) -> list[str]:
    """Return its state, and the numbers behind that; ``OSError`` where none is told."""
    if sys.platform != "linux":
        raise OSError(f"{sys.platform} has no /proc.")
    # A process may be called anything, also by a text that is cut amid a letter.
    told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return told.rpartition(")")[2].split()


def _is_nobody(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
