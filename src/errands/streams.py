"""What our commands read and write, whoever still listens.

Whoever read it may be gone: Ctrl-C on ``worker | tee log`` ends ``tee`` first,
and ``worker | head -1`` has read enough. That ends no worker and changes no
exit code; a worker that broke on it would leave its children behind, and ``queue
retry`` its other tasks as they were. What a terminal has no character for is said
in escapes.

Who starts a daemon may close its streams (``manage.py worker 0>&-``). Python then
has None instead of one, and the next file or pipe that anybody opens gets the
descriptor: a child would take it for its lifeline, or print into it.
"""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}
# A stream that somebody closed raises the latter.
CANNOT_BE_SAID = (OSError, ValueError)

type Stream = TextIO | OutputWrapper


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


def say(stream: Stream, line: str) -> None:
    """Write a line, at once also into a pipe; if nobody takes it, go on."""
    try:
        _write(stream, line)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except CANNOT_BE_SAID:
        pass


def _write(stream: Stream, line: str) -> None:
    try:
        stream.write(f"{line}\n")
    except UnicodeEncodeError as beyond:
        known = line.encode(beyond.encoding, "backslashreplace")
        stream.write(f"{known.decode(beyond.encoding)}\n")


def flush(*streams: Stream) -> None:
    """Write out what was said; whatever a stream does, nothing ends because of it.

    What one could not write it tries again each time, and fails again.
    """
    for stream in streams:
        # One of the site's own may raise anything.
        with suppress(Exception):
            try:
                stream.flush()
            except BrokenPipeError:
                _silence(stream)


def finish_saying(*streams: Stream) -> None:
    """Drop what nobody takes: Python would end with code 120 because of it."""
    for stream in streams:
        try:
            stream.flush()
        except CANNOT_BE_SAID:
            _silence(stream)


def _silence(stream: Stream) -> None:
    """Lead a stream to the null device: for good, and for copies of us too."""
    with suppress(*CANNOT_BE_SAID):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
