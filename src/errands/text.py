"""Text that is safe to store and to show, whatever it came from.

Databases disagree about NUL (PostgreSQL refuses it) and drivers about lone
surrogates (UTF-8 cannot encode them); exceptions may be unprintable or 20 MB
long. Every text that errands stores and did not write itself passes through
here, so that no row can stop a worker, a sweep or a page.
"""

import difflib
import re
import traceback
from collections.abc import Iterable

LINE_LIMIT = 200
# The length of \udcff, as which a lone surrogate is written.
ESCAPED = 6
TRACEBACK_LIMIT = 32_768
# Each takes some 80 µs to be told.
MOST_FRAMES = 10_000

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
)


def clean_text(value: object, limit: int) -> str:
    """Return ``value`` as storable text of at most ``limit`` characters.

    NUL becomes U+FFFD, a lone surrogate its backslash escape, and what is cut
    is counted in the last words.
    """
    text = str(value)
    if len(text) > limit:
        note = f"… ({len(text):,} characters)"
        text = text[: max(0, limit - len(note))] + note[:limit]
    text = text.replace("\0", "\ufffd")
    if _SURROGATE.search(text):
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")[:limit]
    return text


def clean_line(value: object, limit: int = LINE_LIMIT) -> str:
    """Return ``value`` as one line: controls and line breaks become a space.

    Invisible marks that reorder text go as well, so that a title cannot
    rewrite the page or the log line around it.
    """
    head = str(value)[: limit * 4]
    cut = "" if len(head) == len(str(value)) else "…"
    # With room for every escape, so that only the end of the line is cut.
    line = clean_text(_CONTROL.sub(" ", head).strip() + cut, ESCAPED * len(head) + 1)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Return how many there are: ``1 error``, ``2,000 errors``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def did_you_mean(name: object, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return `` Did you mean 'timeout'?``, or nothing where no name is near."""
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=likeness)
    return f" Did you mean {near[0]!r}?" if near else ""


def class_path(kind: type) -> str:
    """Return where a class is, whatever its metaclass says; never raises."""
    try:
        return clean_line(f"{kind.__module__}.{kind.__qualname__}")
    except BaseException:  # noqa: BLE001 - a metaclass may raise anything
        # <class 'shop.errors.Nameless'>
        return clean_line(type.__repr__(kind)[8:-2])


def class_name(kind: type) -> str:
    """Return the name of a class, past what its metaclass says."""
    return str(type.__dict__["__qualname__"].__get__(kind))


def describe_exception(exception: BaseException) -> str:
    """Return what the exception says, even when its ``__str__`` raises."""
    try:
        return clean_text(exception, TRACEBACK_LIMIT)
    except BaseException as unprintable:  # noqa: BLE001 - that is the point
        return f"<unprintable: __str__ raised {class_name(type(unprintable))}>"


def format_traceback(exception: BaseException, limit: int = TRACEBACK_LIMIT) -> str:
    """Return the exception's traceback, bounded, without ever raising.

    The end is kept when it is too long: it names the error.
    """
    try:
        text = "".join(traceback.format_exception(exception, limit=-MOST_FRAMES))
    except BaseException:  # noqa: BLE001 - an exception may refuse to be formatted
        frames = "".join(traceback.format_tb(exception.__traceback__, -MOST_FRAMES))
        kind = class_name(type(exception))
        text = f"{frames}{kind}: {describe_exception(exception)}\n"
    if len(text) > limit:
        text = f"… ({len(text):,} characters)\n" + text[-limit + 40 :]
    return clean_text(text, limit)
