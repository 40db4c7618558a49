"""How much memory this process holds."""

import os
from pathlib import Path

STATM = Path("/proc/self/statm")
MEGABYTE = 1_000_000


def resident_megabytes() -> float | None:
    """Return the resident set in megabytes, None where /proc is missing.

    Pages shared with other processes are counted in full.
    """
    try:
        pages = int(STATM.read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
