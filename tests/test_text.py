"""Hostile text becomes storable text."""

import sys
from types import TracebackType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errands.text import (
    class_path,
    clean_line,
    clean_text,
    did_you_mean,
    format_traceback,
)

anything = st.text(alphabet=st.characters(codec=None))


@given(value=anything, limit=st.integers(40, 300))
def test_clean_text_can_be_stored_everywhere(value, limit):
    cleaned = clean_text(value, limit)

    assert len(cleaned) <= limit
    assert "\0" not in cleaned
    cleaned.encode("utf-8")


@given(value=anything, limit=st.integers(1, 300))
def test_a_clean_line_is_one_line(value, limit):
    line = clean_line(value, limit)

    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")


def test_what_is_cut_is_counted():
    assert clean_text("x" * 5_000_000, 40).endswith("… (5,000,000 characters)")


def test_a_line_break_cannot_forge_a_second_line():
    assert clean_line("done\r\nSet-Cookie: a") == "done Set-Cookie: a"


@pytest.mark.parametrize("escaped", [r"\udcff", r"a\udcff\udcfeb", r"\udcff" * 33])
def test_a_lone_surrogate_is_written_in_full(escaped):
    lone = escaped.encode().decode("unicode_escape")

    assert clean_line(lone) == escaped


def test_marks_that_reorder_text_are_removed():
    assert clean_line("invoice\u202efdp.exe") == "invoice fdp.exe"


def test_the_end_of_a_long_traceback_is_kept():
    text = format_traceback(ValueError("x" * 100_000 + "the end"), 1000)

    assert len(text) <= 1000
    assert text.rstrip().endswith("the end")


def test_of_a_bottomless_recursion_the_last_frames_are_told():
    error, frame = RecursionError("too deep"), sys._getframe()
    for _ in range(100_000):
        error.__traceback__ = TracebackType(error.__traceback__, frame, 0, 1)

    text = format_traceback(error)

    assert "[Previous line repeated 9997 more times]" in text
    assert text.endswith("RecursionError: too deep\n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("timout", " Did you mean 'timeout'?"), ("zebra", ""), (7, "")],
)
def test_the_nearest_of_known_names_is_meant(name: object, hint: str):
    assert did_you_mean(name, ["unique", "timeout"]) == hint


class Nameless(type):
    def __getattribute__(cls, name: str) -> object:
        if name in ("__module__", "__name__", "__qualname__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class NobodyKnowsError(Exception, metaclass=Nameless):
    def __str__(self) -> str:
        raise type(self)


def test_an_exception_whose_class_has_no_name_is_described_all_the_same():
    error = NobodyKnowsError()

    path = class_path(type(error))
    text = format_traceback(error)

    assert path.endswith("test_text.NobodyKnowsError")
    assert text.startswith("NobodyKnowsError: <unprintable")
    assert class_path(ValueError) == "builtins.ValueError"
