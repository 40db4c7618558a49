"""Results: written in streams, named safely, read whatever keeps them."""

import csv
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import transaction

from errands.exceptions import ResultError
from errands.runs.models import Run, RunResult
from errands.runs.possession import Possession
from tests.runs.conftest import stored

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024


def test_text_keeps_the_line_ends_csv_writes(possession: Possession) -> None:
    with possession.results.open("orders.csv") as file:
        csv.writer(file).writerows([["id", "name"], [1, "Grüße"]])

    result = finished(possession).results["orders.csv"]

    assert result.text == "id,name\r\n1,Grüße\r\n"
    assert result.size == len("id,name\r\n1,Grüße\r\n".encode())
    assert result.content_type == "text/csv"


def test_bytes_are_stored_as_they_are(possession: Possession) -> None:
    with possession.results.open("image.bin", "wb") as file:
        file.write(bytes(range(256)))

    with finished(possession).results["image.bin"].open() as stored_file:
        assert stored_file.read() == bytes(range(256))


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("orders.csv.gz", "application/gzip"),
        ("orders.tar.bz2", "application/x-bzip2"),
        ("orders.csv.xz", "application/octet-stream"),
    ],
)
def test_a_compressed_result_is_not_called_by_what_is_in_it(
    possession: Possession, name: str, content_type: str
) -> None:
    possession.results.write(name, b"compressed")

    assert finished(possession).results[name].content_type == content_type


def test_a_writer_may_seek(possession: Possession) -> None:
    with possession.results.open("patched.bin", "wb") as file:
        file.write(b"....end")
        file.seek(0)
        file.write(b"head")

    assert finished(possession).results["patched.bin"].text == "headend"


@pytest.mark.parametrize("in_database", [False, True])
def test_a_small_result_reads_the_same_wherever_it_is_kept(
    possession: Possession, in_database: bool
) -> None:
    possession.results.write("note.txt", "Grüße", in_database=in_database)

    result = finished(possession).results["note.txt"]

    assert bool(result.key) is not in_database
    assert result.text == "Grüße"
    with result.open() as file, result.as_path() as path:
        assert file.read() == path.read_bytes() == "Grüße".encode()


def test_a_local_file_is_copied(possession: Possession, tmp_path: Path) -> None:
    original = tmp_path / "report.pdf"
    original.write_bytes(b"%PDF")

    possession.results.write("report.pdf", original)

    assert finished(possession).results["report.pdf"].text == "%PDF"
    assert original.exists()


def test_a_large_result_is_never_in_memory(possession: Possession) -> None:
    chunk = b"x" * MIB
    tracemalloc.start()

    with possession.results.open("large.bin", "wb") as file:
        for _ in range(50):
            file.write(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert finished(possession).results["large.bin"].size == 50 * MIB
    assert peak < 5 * MIB


def test_more_than_a_mebibyte_is_refused_by_the_database(possession: Possession) -> None:
    with pytest.raises(ResultError) as refusal:
        possession.results.write("large.bin", b"x" * (MIB + 1), in_database=True)

    assert str(refusal.value) == (
        "Result 'large.bin' has 1,048,577 bytes; in_database=True takes at most "
        "1,048,576. Leave it out to keep the result in a storage."
    )


def test_exactly_a_mebibyte_fits_into_the_database(possession: Possession) -> None:
    possession.results.write("large.bin", b"x" * MIB, in_database=True)

    assert finished(possession).results["large.bin"].size == MIB


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../up", "a\\b", "a b", "a\n", "a\0", "x" * 101, 5, None],
)
def test_a_name_that_could_be_a_path_is_refused(
    possession: Possession, name: Any
) -> None:
    with pytest.raises(ResultError, match="cannot name a result"):
        possession.results.write(name, b"")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "_._etc_passwd"),
        ("C:\\boot.ini", "C_boot.ini"),
        ("orders\r\nSet-Cookie: a=b.csv", "orders Set-Cookie_ a=b.csv"),
        ("nul\0byte.csv", "nul byte.csv"),
        (".htaccess", "htaccess"),
        ("…", "…"),
        ("...", "result"),
        ("<script>.csv", "_script_.csv"),
        ("Grüße 2026.csv", "Grüße 2026.csv"),
        ("x" * 5_000_000, "x" * 150),
        ("x" * 200 + ".csv", "x" * 146 + ".csv"),
    ],
)
def test_a_hostile_file_name_becomes_a_plain_one(
    possession: Possession, given: str, kept: str
) -> None:
    possession.results.write("orders.csv", b"", file_name=given)

    assert finished(possession).results["orders.csv"].file_name == kept


def test_no_name_of_a_caller_becomes_a_path(possession: Possession, site: Path) -> None:
    possession.results.write("page.html", b"<script>", file_name="../evil.html")

    run = finished(possession)

    (file,) = (path for path in site.rglob("*") if path.is_file())
    assert file.parent == site / "errands" / str(run.pk) / "1-1"
    assert "." not in file.name


@pytest.mark.parametrize("given", ["text/html\r\nX: y", "html", "text/html; a", "é/é"])
def test_a_content_type_that_is_none_is_refused(
    possession: Possession, given: str
) -> None:
    with pytest.raises(ResultError, match="is no content type such as 'text/csv'"):
        possession.results.write("page.html", b"", content_type=given)


def test_the_default_file_name_is_the_name_of_the_result(possession: Possession) -> None:
    possession.results.write("unknown.kind-of-file", b"")

    result = finished(possession).results["unknown.kind-of-file"]

    assert result.file_name == "unknown.kind-of-file"
    assert result.content_type == "application/octet-stream"


def test_a_block_that_raises_stores_nothing(possession: Possession, site: Path) -> None:
    with pytest.raises(ZeroDivisionError), possession.results.open("orders.csv") as file:
        file.write("half")
        raise ZeroDivisionError

    assert list(finished(possession).results) == []
    assert not any(path.is_file() for path in site.rglob("*"))


def test_the_same_name_again_replaces_the_former(
    possession: Possession, site: Path
) -> None:
    possession.results.write("note.txt", "first")
    possession.results.write("note.txt", "second")

    assert finished(possession).results["note.txt"].text == "second"
    assert len([path for path in site.rglob("*") if path.is_file()]) == 1


def test_an_unknown_mode_is_refused(possession: Possession) -> None:
    with (
        pytest.raises(
            ResultError, match=r"Mode 'a' of result 'note\.txt': 'w' or 'wb'\."
        ),
        possession.results.open("note.txt", "a"),  # type: ignore[call-overload]
    ):
        pass


def test_an_unknown_result_is_a_key_error(possession: Possession) -> None:
    results = finished(possession).results

    with pytest.raises(KeyError, match="missing"):
        results["missing"]


def test_listing_results_loads_no_contents(
    possession: Possession, django_assert_num_queries: Callable[[int], object]
) -> None:
    possession.results.write("note.txt", b"x" * MIB, in_database=True)
    run = finished(possession)

    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        (result,) = run.results.values()
        assert result.size == MIB


def test_deleting_a_run_deletes_its_files_after_commit(
    possession: Possession, site: Path
) -> None:
    possession.results.write("note.txt", "kept")
    run = finished(possession)

    with transaction.atomic():
        run.delete()
        files_inside = [path for path in site.rglob("*") if path.is_file()]

    assert len(files_inside) == 1
    assert not any(path.is_file() for path in site.rglob("*"))
    assert RunResult.objects.count() == 0


def test_a_rolled_back_deletion_keeps_the_files(possession: Possession) -> None:
    possession.results.write("note.txt", "kept")
    run = finished(possession)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Run.objects.all().delete()
        raise ZeroDivisionError

    assert stored(run.pk).results["note.txt"].text == "kept"


def test_deleting_a_run_deletes_what_a_dead_attempt_left(
    possession: Possession, site: Path
) -> None:
    possession.results.write("note.txt", "unfinished")

    Run.objects.get().delete()

    assert list(site.rglob("*")) in ([], [site / "errands"])


def test_a_storage_that_cannot_list_its_files_spoils_no_end(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(storage: FileSystemStorage, path: str) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileSystemStorage, "listdir", refuse)
    possession.results.write("note.txt", "kept")

    assert finished(possession).results["note.txt"].text == "kept"


def test_a_result_without_a_local_file_is_copied_to_one(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    possession.results.write("note.txt", "kept")
    result = finished(possession).results["note.txt"]

    def no_path(storage: FileSystemStorage, name: str) -> str:
        raise NotImplementedError

    opened = io.BytesIO(b"kept")
    monkeypatch.setattr(FileSystemStorage, "path", no_path)
    monkeypatch.setattr(FileSystemStorage, "open", lambda *args: opened)

    with result.as_path() as path:
        copied = path.read_bytes()

    assert copied == b"kept"
    assert not path.exists()


def finished(possession: Possession) -> Run:
    """End a run well and return it as stored."""
    possession.succeed()
    return stored(possession.run.pk)
