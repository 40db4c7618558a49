"""What the system says about processes: whether one lives, and which one it is.

Only Linux does; elsewhere nobody is known to have ended or to be stopped.
"""

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
    state, *numbers = _stat(pid)
    if not numbers or state in ENDED:
        return ""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot_id} {namespace} {numbers[STARTED_AT]}"


def is_stopped(pid: int) -> bool:
    """Return whether somebody has stopped a process: SIGSTOP, or a debugger."""
    return _stat(pid)[0] in STOPPED


def _stat(pid: int) -> list[str]:
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            pass
    return [""]
