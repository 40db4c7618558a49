"""What is in a CSV file that anybody may have made.

The file is read as a stream: a row at a time, and of each column only counts,
extremes and a bounded set of hashes. What cannot be read is a ``JobError``
with a sentence for whoever sent it.
"""

import codecs
import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING

from django.utils.translation import gettext as _

from errands import JobError

if TYPE_CHECKING:
    from _csv import Reader

SAMPLE = 64 * 1024
SNIFFED_LINES = 50
LINE_LIMIT = 1024 * 1024
COLUMN_LIMIT = 500
DISTINCT_LIMIT = 10_000
TEXT_LIMIT = 80
CONTROL = bytes(set(range(32)) - set(b"\t\n\f\r"))
ARCHIVE = b"PK\x03\x04"

# The comma comes last: it is also in texts and, in much of Europe, in numbers.
DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "vertical bar", ",": "comma"}
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written."""

    encoding: str
    delimiter: str
    has_header: bool


@dataclass(slots=True)
class Column:
    """What is known of a column so far."""

    name: str
    filled: int = 0
    is_number: bool = True
    total: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    first: str = ""
    last: str = ""
    _seen: set[int] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Take one cell into account; an empty one counts as not filled."""
        text = text.strip()
        if not text:
            return
        if len(self._seen) <= DISTINCT_LIMIT:
            self._seen.add(hash(text))
        self.first = min(self.first, text) if self.filled else text
        self.last = max(self.last, text)
        self.filled += 1
        number = number_in(text) if self.is_number else None
        if number is None:
            self.is_number = False
            return
        self.total += number
        self.least = min(self.least, number)
        self.greatest = max(self.greatest, number)

    @property
    def distinct(self) -> str:
        """How many different values there are, as far as was counted."""
        if len(self._seen) > DISTINCT_LIMIT:
            return f"more than {DISTINCT_LIMIT}"
        return str(len(self._seen))

    def as_row(self) -> list[object]:
        """Return the column's line of the summary."""
        if not self.filled:
            return [self.name, "empty", 0, 0, "", "", ""]
        if self.is_number:
            mean = self.total / self.filled
            figures = [f"{n:.10g}" for n in (self.least, self.greatest, mean)]
            return [self.name, "number", self.filled, self.distinct, *figures]
        texts = [cut(self.first), cut(self.last), ""]
        return [self.name, "text", self.filled, self.distinct, *texts]


@dataclass(slots=True)
class Summary:
    """Rows and columns of a file."""

    dialect: Dialect
    columns: list[Column]
    rows: int = 0
    ragged: int = 0

    def add(self, row: Sequence[str]) -> None:
        """Take one row into account."""
        self.rows += 1
        self.ragged += len(row) != len(self.columns)
        for column, text in zip(self.columns, row, strict=False):
            column.add(text)

    def write(self, file: IO[str]) -> None:
        """Write one line per column as CSV."""
        writer = csv.writer(file)
        writer.writerow(["column", "kind", "filled", "distinct", "min", "max", "mean"])
        writer.writerows(column.as_row() for column in self.columns)


def examine(file: IO[bytes]) -> Dialect:
    """Find out how a file is written, and leave it at its beginning."""
    sample = file.read(SAMPLE)
    refuse_what_is_no_text(sample)
    encoding = encoding_of(sample, file)
    file.seek(0)
    text = sample.decode(encoding, errors="replace")
    if not text.strip():
        raise JobError(_("The file is empty."))
    lines = text.splitlines()[:SNIFFED_LINES]
    delimiter = delimiter_of(lines)
    return Dialect(encoding, delimiter, has_header(parsed(lines, delimiter)))


def summarise(file: IO[bytes], dialect: Dialect) -> Iterator[Summary]:
    """Read a file, and yield its growing summary after every row.

    A file of a header alone yields once, with no rows.
    """
    text = TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline="")
    rows = readable(csv.reader(lines_of(text), delimiter=dialect.delimiter))
    first = next(rows)
    if len(first) > COLUMN_LIMIT:
        raise JobError(
            _("The first line has %(found)s columns; at most %(limit)s are read.")
            % {"found": len(first), "limit": COLUMN_LIMIT}
        )
    summary = Summary(dialect, columns_of(first, named=dialect.has_header))
    if not dialect.has_header:
        summary.add(first)
    yield summary
    for row in rows:
        summary.add(row)
        yield summary
    text.detach()


def refuse_what_is_no_text(sample: bytes) -> None:
    """Raise for archives, pictures and the like, and for an empty file."""
    if not sample:
        raise JobError(_("The file is empty."))
    if sample.startswith(ARCHIVE):
        raise JobError(
            _("This is a spreadsheet or an archive. Save the sheet as CSV first.")
        )
    if sample.startswith(tuple(MARKS)):
        return
    controls = len(sample) - len(sample.translate(None, CONTROL))
    if b"\0" in sample or controls > len(sample) // 50:
        raise JobError(_("This is not a text file."))


def encoding_of(sample: bytes, rest: IO[bytes]) -> str:
    """Return UTF-8 if the whole file is valid, else what Windows writes."""
    for mark, encoding in MARKS.items():
        if sample.startswith(mark):
            return encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(sample)
        while chunk := rest.read(SAMPLE):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def delimiter_of(lines: Sequence[str]) -> str:
    """Return the delimiter that gives the most lines the same width above 1."""

    def agreeing(delimiter: str) -> int:
        widths = Counter(len(row) for row in parsed(lines, delimiter))
        return max((times for width, times in widths.items() if width > 1), default=0)

    best = max(DELIMITERS, key=agreeing)
    return best if agreeing(best) else ","


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row reads like names: all there, none a number."""
    first = rows[0] if rows else []
    return bool(first) and all(c.strip() and number_in(c) is None for c in first)


def parsed(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the rows in a few lines; none if they cannot be read so."""
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return []


def columns_of(first: Sequence[str], *, named: bool) -> list[Column]:
    """Return the columns, named after the first row or numbered."""
    if named:
        return [Column(cut(name.strip())) for name in first]
    return [Column(_("Column %(n)s") % {"n": n}) for n, _cell in enumerate(first, 1)]


def lines_of(text: TextIOWrapper) -> Iterator[str]:
    """Return the lines, refusing one that would fill the memory."""
    number = 0
    while line := text.readline(LINE_LIMIT):
        number += 1
        if len(line) == LINE_LIMIT:
            raise JobError(
                _("Line %(line)s is longer than a million characters.") % {"line": number}
            )
        yield line


def readable(rows: "Reader") -> Iterator[list[str]]:
    """Return the rows that are not empty; say where one cannot be read."""
    try:
        yield from filter(None, rows)
    except csv.Error as error:
        raise JobError(
            _("Line %(line)s cannot be read: %(reason)s.")
            % {"line": rows.line_num, "reason": error}
        ) from error


def number_in(text: str) -> float | None:
    """Return the finite number a cell holds, None if it holds something else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def cut(text: str) -> str:
    """Return a text short enough for a table."""
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
