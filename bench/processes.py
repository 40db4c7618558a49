"""Worker processes: start, weigh and kill them with all their children."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from bench import ticks

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STOPPING_SECONDS = 10


class Silent(Exception):
    """A worker does not do what is waited for."""


@dataclass
class Fleet:
    """The workers of one peer: some commands, each in a process group."""

    commands: list[list[str]]
    log: Path
    ledger: Path = field(default_factory=lambda: Path(mkdtemp(prefix="errands-bench-")))
    roots: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> "Fleet":
        environment = os.environ | {ticks.VARIABLE: str(self.ledger)}
        with self.log.open("ab") as log:
            for command in self.commands:
                root = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self.roots.append(root)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._end()
        finally:
            rmtree(self.ledger, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL all of it."""
        self._signal(signal.SIGKILL)
        for root in self.roots:
            root.wait()

    def wait_for_ticks(self, count: int, *, seconds: float) -> ticks.Ticks:
        """Return when so many tasks have started; ``Silent`` when they do not."""
        deadline = time.monotonic() + seconds
        while (seen := ticks.read(self.ledger)).count < count:
            if time.monotonic() > deadline:
                raise Silent(f"{seen.count:,} of {count:,} tasks started in {seconds} s")
            if all(root.poll() is not None for root in self.roots):
                raise Silent(f"the worker ended: {last_line(self.log)}")
            time.sleep(0.001)
        return seen

    def processes(self) -> list[int]:
        """Return the ids of all processes, children included."""
        groups = {root.pid for root in self.roots}
        return [pid for pid in _all() if _session(pid) in groups]

    def rss(self) -> list[int]:
        """Return the bytes resident in each process, largest first."""
        return sorted(map(rss, self.processes()), reverse=True)

    def cpu_seconds(self) -> float:
        """Return the CPU time that all processes have used until now."""
        return sum(map(_cpu_seconds, self.processes()))

    def _end(self) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + STOPPING_SECONDS
        for root in self.roots:
            try:
                root.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        for root in self.roots:
            try:
                os.killpg(root.pid, number)
            except ProcessLookupError:
                continue


def rss(pid: int) -> int:
    """Return the bytes resident in a process; none in one that has ended."""
    try:
        resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(resident) * os.sysconf("SC_PAGE_SIZE")


def last_line(log: Path) -> str:
    """Return what a process said last."""
    lines = [
        line for line in log.read_text(errors="replace").splitlines() if line.strip()
    ]
    return lines[-1].strip() if lines else "it said nothing"


def _all() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["Z"] + ["0"] * 20


def _session(pid: int) -> int:
    fields = _stat(pid)
    return 0 if fields[0] == "Z" else int(fields[3])


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
