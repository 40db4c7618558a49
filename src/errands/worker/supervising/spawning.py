"""Start Python again, as this process runs it: same site, same modules.

A new interpreter instead of a fork: it works on every platform, and nothing
of this process (connections, locks, threads) can leak into it.
"""

import os
import subprocess
import sys
from pathlib import Path


def spawn_python(
    *arguments: str, standard_input: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """Start ``python …`` with our import path and a pipe as its lifeline.

    The pipe is the child's standard input and ends when we do.
    """
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=standard_input,
        env={**os.environ, "PYTHONPATH": path},
    )
