"""Tasks that had started in a process that died: one of them did it.

Nobody can tell which, so those that died together never run together again:
a process runs one suspect at a time, beside tasks that are none. So a poison
pill takes each of its neighbours down once at most, and only its own crashes
add up to the cap. A suspect that comes to an end of any kind is none any more.
A host that was lost makes no suspects: it took down whatever ran.
"""

from datetime import timedelta

from errands.queue.claims import Claim

PAUSE = timedelta(seconds=1)
CRASH = "errands.exceptions.TaskCrashed"
LOST = ": lost"


def is_suspect(claim: Claim) -> bool:
    """Return whether the last attempt ended with the death of its process."""
    if not claim.crashes or not claim.errors:
        return False
    last = claim.errors[-1]
    is_crash = last["exception_class_path"] == CRASH
    return is_crash and not last["traceback"].rstrip().endswith(LOST)
