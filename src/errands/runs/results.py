"""Writing the results of a run, without ever holding one in memory.

A result is written to a temporary file and stored when its block ends. It
becomes visible, in the place of the one a former attempt left, when the
attempt succeeds; until then only the attempt knows the file.
"""

import io
import mimetypes
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, TypedDict, Unpack, overload

from django.conf import settings as django_settings
from django.core.files import File
from django.core.files.storage import storages

from errands.conf import settings
from errands.exceptions import ResultError
from errands.runs.fence import Fence, run_alias
from errands.runs.files import new_key, remove
from errands.runs.models import RunResult
from errands.text import clean_line

IN_DATABASE_LIMIT = 1024 * 1024
FILE_NAME_LIMIT = 150
DEFAULT_CONTENT_TYPE = "application/octet-stream"
COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2"}
"""Of ``x.csv.gz``, ``guess_type`` says what is in it, not what it is."""

_NAME = re.compile(r"[\w.-]{1,100}")
_UNSAFE_IN_FILE_NAMES = re.compile(r'[/\\:*?"<>|]+')
_CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.-]+)*", re.ASCII)


class ResultOptions(TypedDict, total=False):
    """How a result is kept and offered."""

    in_database: bool
    """Keep it in its row; at most 1 MiB."""

    file_name: str | None
    """What the visitor's file is called; by default the result's name."""

    content_type: str | None
    """Its media type; by default guessed from the file name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A result this attempt has written and nobody sees yet."""

    name: str
    file_name: str
    content_type: str
    size: int
    storage: str = ""
    key: str = ""
    content: bytes | None = None

    def as_row(self, fence: Fence) -> RunResult:
        """Return the row that makes it visible."""
        return RunResult(
            run_id=fence.run_id,
            name=self.name,
            file_name=self.file_name,
            content_type=self.content_type,
            size=self.size,
            storage=self.storage,
            key=self.key,
            content=self.content,
        )


class ResultsWriter:
    """The results of one attempt."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._drafts: dict[str, Draft] = {}

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names written so far."""
        return iter(self._drafts)

    @overload
    def open(
        self,
        name: str,
        mode: Literal["w"] = "w",
        **options: Unpack[ResultOptions],
    ) -> AbstractContextManager[io.TextIOWrapper]: ...

    @overload
    def open(
        self, name: str, mode: Literal["wb"], **options: Unpack[ResultOptions]
    ) -> AbstractContextManager[IO[bytes]]: ...

    @contextmanager
    def open(
        self, name: str, mode: str = "w", **options: Unpack[ResultOptions]
    ) -> Iterator[Any]:
        """Open a result for writing; it is stored when the block ends.

        Mode ``"w"`` writes UTF-8 and leaves line ends alone, as ``csv`` wants;
        ``"wb"`` writes bytes. When the block raises, nothing is stored. The
        same name written again replaces the former.
        """
        _check(name, mode)
        directory = django_settings.FILE_UPLOAD_TEMP_DIR
        with tempfile.TemporaryFile(dir=directory) as file:
            if mode == "wb":
                yield file
            else:
                text = io.TextIOWrapper(file, encoding="utf-8", newline="")
                yield text
                text.flush()
                text.detach()
            self._keep(name, file, options)

    def write(
        self, name: str, content: bytes | str | Path, **options: Unpack[ResultOptions]
    ) -> None:
        """Store a whole result: bytes, text, or a copy of a local file."""
        with self.open(name, "wb", **options) as file:
            if isinstance(content, Path):
                with content.open("rb") as source:
                    shutil.copyfileobj(source, file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)

    def replace_rows(self) -> None:
        """Put this attempt's results in the place of the former ones.

        In the transaction that ends the run, behind its fence. From here on the
        files are those of the rows: where the answer to COMMIT is lost, nobody
        here knows whether the run has them. If not, the end that follows
        removes what no row names.
        """
        alias = run_alias()
        former = RunResult.objects.using(alias).filter(run=self._fence.run_id)
        former.defer("content").delete()
        for draft in self._drafts.values():
            draft.as_row(self._fence).save(using=alias, force_insert=True)
        self._drafts.clear()

    def discard(self) -> None:
        """Delete what was written: the attempt did not succeed."""
        for draft in self._drafts.values():
            _remove_file(draft)
        self._drafts.clear()

    def _keep(self, name: str, file: IO[bytes], options: ResultOptions) -> None:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        offered_as = clean_file_name(options.get("file_name") or name)
        draft = partial(
            Draft,
            name=name,
            file_name=offered_as,
            content_type=_content_type(options.get("content_type"), offered_as),
            size=size,
        )
        replaced = self._drafts.get(name)
        if options.get("in_database"):
            _check_size(name, size)
            self._drafts[name] = draft(content=file.read())
        else:
            key, alias = new_key(self._fence), settings().storage
            key = storages[alias].save(key, File(file, name=key))
            self._drafts[name] = draft(storage=alias, key=key)
        if replaced:
            _remove_file(replaced)


def _check(name: object, mode: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not name.strip("."):
        raise ResultError(
            f"{name!r:.100} cannot name a result: use 1 to 100 letters, digits, "
            "'_', '-' and '.'. What the visitor's file is called is file_name=."
        )
    if mode not in {"w", "wb"}:
        raise ResultError(f"Mode {mode!r} of result {name!r}: 'w' or 'wb'.")


def _check_size(name: str, size: int) -> None:
    if size > IN_DATABASE_LIMIT:
        raise ResultError(
            f"Result {name!r} has {size:,} bytes; in_database=True takes at most "
            f"{IN_DATABASE_LIMIT:,}. Leave it out to keep the result in a storage."
        )


def clean_file_name(name: str) -> str:
    """Return a name that is only a name, on any operating system.

    The extension survives when a long name is cut.
    """
    line = _UNSAFE_IN_FILE_NAMES.sub("_", clean_line(name, 4 * FILE_NAME_LIMIT))
    stem, dot, extension = line.strip(". ").rpartition(".")
    if not stem or len(extension) > 20:
        stem, dot, extension = stem + dot + extension, "", ""
    room = FILE_NAME_LIMIT - len(dot + extension)
    return stem[:room].rstrip(". ") + dot + extension or "result"


def _content_type(given: str | None, file_name: str) -> str:
    if given is None:
        guessed, compression = mimetypes.guess_type(file_name)
        if compression:
            return COMPRESSED.get(compression, DEFAULT_CONTENT_TYPE)
        return guessed or DEFAULT_CONTENT_TYPE
    if len(given) > 255 or not _CONTENT_TYPE.fullmatch(given):
        raise ResultError(f"{given[:100]!r} is no content type such as 'text/csv'.")
    return given


def _remove_file(draft: Draft) -> None:
    if draft.key:
        remove(draft.storage, draft.key)
