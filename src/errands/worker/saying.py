"""What our commands say, to whoever still listens.

Whoever read it may be gone: Ctrl-C on ``worker | tee log`` ends ``tee`` first,
and ``worker | head -1`` has read enough. That ends no worker and changes no
exit code; a worker that broke on it would leave its children behind, and ``queue
retry`` its other tasks as they were. What a terminal has no character for is said
in escapes.
"""

import os
from contextlib import suppress
from typing import TextIO

from django.core.management.base import OutputWrapper

# A stream that somebody closed raises the latter.
CANNOT_BE_SAID = (OSError, ValueError)

type Stream = TextIO | OutputWrapper


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
