"""What happened, one line for each event, in a file for each process.

A line is appended by one ``write``; a process that is killed leaves whole lines
or none. Instants are those of the system's monotonic clock and its wall clock,
which all processes here share.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "ERRANDS_SOAK_LEDGER"

_open: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class Event:
    """One line.

    Of an attempt: ``S``tarted, ``E``nded well, ``R``aised, e``X``ited. Of a
    caller: ``I``nserted, ``A``cknowledged, rolled ``B``ack, ``U``nknown.
    """

    kind: str
    task: str
    attempt: int
    token: int
    pid: int
    at: float
    wall: float


def note(kind: str, task: str = "-", *, attempt: int = 0, token: int = 0) -> None:
    """Append one line to the ledger of this process."""
    pid = os.getpid()
    if pid not in _open:
        path = Path(os.environ[VARIABLE], f"{pid}-{time.monotonic_ns()}")
        _open[pid] = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    instants = f"{time.monotonic():.6f} {time.time():.6f}"
    line = f"{kind} {task} {attempt} {token} {pid} {instants}\n"
    os.write(_open[pid], line.encode())


def read(directory: Path) -> Iterator[Event]:
    """Yield every event of every process."""
    for path in directory.iterdir():
        for line in path.read_text().splitlines():
            kind, task, attempt, token, pid, at, wall = line.split()
            numbers = (int(attempt), int(token), int(pid))
            yield Event(kind, task, *numbers, float(at), float(wall))
