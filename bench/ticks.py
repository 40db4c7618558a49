"""When tasks started, told by the tasks themselves to whoever measures.

Every thread that runs tasks has a file of its own in one directory, mapped into
memory: a count and the instants of the first and last start. So there is no lock,
at which the threads of some queues would wait for each other. A tick outlives a
SIGKILL. It is the same for every peer and takes about a microsecond, which a queue
that needs 20 per task feels more than others. Instants are those of
CLOCK_MONOTONIC, which all processes of a machine share.

Where ERRANDS_BENCH_TASK_SECONDS says so, the task then sleeps.
"""

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident

VARIABLE = "ERRANDS_BENCH_TICKS"
SLOWLY = "ERRANDS_BENCH_TASK_SECONDS"
RECORD = struct.Struct("<QQQ")

_seconds = float(os.environ.get(SLOWLY, "0"))
_maps: dict[tuple[int, int], mmap.mmap] = {}


@dataclass(frozen=True, slots=True)
class Ticks:
    """How many tasks have started, and the first and last instant in ns."""

    count: int
    first: int
    last: int


def tick() -> None:
    """Note that a task starts here and now; then take the time it should take."""
    now = time.monotonic_ns()
    own = os.getpid(), get_ident()
    record = _maps.get(own) or _mapped(own)
    count, first, _ = RECORD.unpack_from(record)
    RECORD.pack_into(record, 0, count + 1, first or now, now)
    if _seconds:
        time.sleep(_seconds)


def read(directory: Path) -> Ticks:
    """Return what all threads have noted in a directory."""
    files = directory.glob("[0-9]*")
    records = [RECORD.unpack(file.read_bytes()) for file in files]
    started = [record for record in records if record[0]]
    return Ticks(
        sum(count for count, _, _ in started),
        min((first for _, first, _ in started), default=0),
        max((last for _, _, last in started), default=0),
    )


def _mapped(own: tuple[int, int]) -> mmap.mmap:
    process, thread = own
    path = Path(os.environ[VARIABLE]) / f"{process}-{thread}"
    blank = path.with_name(f".{path.name}")
    blank.write_bytes(bytes(RECORD.size))
    with blank.open("r+b") as file:
        _maps[own] = mmap.mmap(file.fileno(), RECORD.size)
    blank.rename(path)
    return _maps[own]
