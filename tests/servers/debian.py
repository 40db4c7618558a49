"""Programs of Debian, installed where they are missing."""

import os
import shutil
import subprocess
from pathlib import Path

INSTALL = Path(__file__).parents[2] / "tools" / "debian-install"
PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def program(name: str, *, package: str) -> str | None:
    """Return the path of a program; None where it cannot be installed either."""
    found = shutil.which(name, path=PATHS)
    if found is None:
        subprocess.call([INSTALL, package])
        found = shutil.which(name, path=PATHS)
    return found
