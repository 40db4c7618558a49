"""What is said, and what is said to nobody."""

import io
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from errands.streams import finish_saying, flush, say


@pytest.fixture
def nobodys() -> Iterator[TextIO]:
    """Return a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


def test_a_line_is_written_at_once():
    reader, writer = os.pipe()

    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as read:
        say(stream, "ready")

        assert read.readline() == "ready\n"


def test_a_line_that_nobody_reads_is_dropped_and_so_are_those_after_it(nobodys: TextIO):
    say(nobodys, "stopping")
    say(nobodys, "3 succeeded, 0 failed")

    nobodys.flush()


def test_a_closed_stream_is_nothing_to_end_for():
    stream = io.StringIO()
    stream.close()

    say(stream, "stopping")
    finish_saying(stream)

    assert stream.closed


def test_what_was_left_in_a_stream_that_nobody_reads_is_dropped(nobodys: TextIO):
    nobodys.write("printed by a task")

    finish_saying(nobodys)

    nobodys.flush()


def test_what_cannot_be_flushed_ends_nothing_the_next_time_either(nobodys: TextIO):
    nobodys.write("printed by the site")
    of_the_sites_own: TextIO = object()  # type: ignore[assignment]

    flush(nobodys, of_the_sites_own)
    flush(nobodys, of_the_sites_own)

    nobodys.flush()
