"""Standard streams for a process that was started without some of them.

Who starts a daemon may close them (``manage.py worker 0>&-``). Python then has
None instead of a stream, and the next file or pipe that anybody opens gets the
descriptor: a child would take it for its lifeline, or print into it.
"""

import os
import sys

MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


def open_missing_streams() -> None:
    """Lead the standard streams that are missing to the null device.

    Children inherit them. In the order of their descriptors, for the lowest
    that is free is taken; one that something of the site has got stays its own.
    """
    for name, mode in MODES.items():
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nothing, True)  # noqa: FBT003 - it takes no name
            setattr(sys, name, os.fdopen(nothing, mode))
