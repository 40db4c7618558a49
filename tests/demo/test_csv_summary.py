"""What visitors send as CSV, and what they are told about it."""

import csv
import io

import pytest

from errands import JobError
from flights.csv_summary import Summary, examine, summarise


def summary_of(content: bytes) -> Summary:
    file = io.BytesIO(content)
    *_, last = summarise(file, examine(file))
    return last


def written(summary: Summary) -> list[list[str]]:
    file = io.StringIO()
    summary.write(file)
    return list(csv.reader(io.StringIO(file.getvalue())))


def test_each_column_is_summed_up_in_a_line():
    summary = summary_of(b"city,delay\nBoston,4\nAlbany,-2\n,10\nAlbany,\n")

    assert written(summary) == [
        ["column", "kind", "filled", "distinct", "min", "max", "mean"],
        ["city", "text", "3", "2", "Albany", "Boston", ""],
        ["delay", "number", "3", "3", "-2", "10", "4"],
    ]
    assert summary.rows == 4


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("größe;1".encode(), "utf-8"),
        ("größe;1".encode("latin-1"), "cp1252"),
        ("größe;1".encode("utf-8-sig"), "utf-8-sig"),
        ("größe;1".encode("utf-16"), "utf-16"),
    ],
)
def test_the_encoding_is_found_out(content, encoding):
    summary = summary_of(content)

    assert summary.dialect.encoding == encoding
    assert summary.columns[0].last == "größe"


def test_a_byte_that_is_not_utf_8_counts_wherever_it_is():
    content = b"name\n" + b"a\n" * 100_000 + "ß\n".encode("latin-1")

    assert summary_of(content).columns[0].last == "ß"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(delimiter):
    rows = [["name", "share"], ['"Boston, Mass."', '"0,5"'], ["Albany", '"0,7"']]
    content = "\n".join(delimiter.join(row) for row in rows)

    assert examine(io.BytesIO(content.encode())).delimiter == delimiter


def test_numbers_with_a_decimal_comma_do_not_make_it_the_delimiter():
    assert examine(io.BytesIO(b"1,5;2,5\n3,5;4,5\n")).delimiter == ";"


def test_a_single_column_is_read_as_one():
    assert len(summary_of(b"city\nBoston\nAlbany\n").columns) == 1


def test_a_first_row_with_a_number_is_no_header():
    summary = summary_of(b"Boston,4\nAlbany,5\n")

    assert [column.name for column in summary.columns] == ["Column 1", "Column 2"]
    assert summary.rows == 2


def test_rows_of_another_width_are_counted_and_read_as_far_as_they_go():
    summary = summary_of(b"a,b\n1\n1,2,3\n1,2\n")

    assert (summary.rows, summary.ragged) == (3, 2)
    assert [column.filled for column in summary.columns] == [3, 2]


@pytest.mark.parametrize("odd", [b"nan", b"inf", b"1e999", b"1_000"])
def test_what_only_python_takes_for_a_number_makes_a_column_text(odd):
    column = summary_of(b"n\n1\n" + odd + b"\n").columns[0]

    assert column.as_row()[1] == "text"


def test_distinct_values_are_counted_up_to_ten_thousand():
    content = b"n\n" + b"".join(b"%d\n" % n for n in range(10_050))

    assert summary_of(content).columns[0].distinct == "more than 10000"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The file is empty."),
        (b" \n\r\n", "The file is empty."),
        (b"\xef\xbb\xbf", "The file is empty."),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "This is not a text file."),
        (bytes(range(1, 32)) * 9, "This is not a text file."),
        (
            b"PK\x03\x04\x14\0\x06\0",
            "This is a spreadsheet or an archive. Save the sheet as CSV first.",
        ),
        (b"a" * 2_000_000, "Line 1 is longer than a million characters."),
        (
            b"a,b\n1,2\n" + b'"' + b"x" * 200_000,
            "Line 3 cannot be read: field larger than field limit (131072).",
        ),
        (
            b",".join(b"c%d" % n for n in range(501)),
            "The first line has 501 columns; at most 500 are read.",
        ),
    ],
)
def test_what_cannot_be_read_is_a_sentence_for_the_visitor(content, told):
    with pytest.raises(JobError) as raised:
        summary_of(content)

    assert str(raised.value) == told


def test_a_header_alone_has_no_rows():
    summary = summary_of(b"city,delay\n")

    assert summary.rows == 0
    assert written(summary)[1:] == [
        ["city", "empty", "0", "0", "", "", ""],
        ["delay", "empty", "0", "0", "", "", ""],
    ]
