"""Worker trees: a supervisor and its children, started, broken and replaced."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60.0
GLANCE_SECONDS = 0.05


def python(*arguments: str, log: Path) -> "subprocess.Popen[str]":
    """Start a Python process of the site under soak."""
    with log.open("a") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not buried."""
    with suppress(OSError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        told = [(task / "children").read_text().split() for task in tasks]
        return [int(child) for some in told for child in some]
    return []


def has_died(pid: int) -> bool:
    """Return whether no thread of a process can run another line."""
    with suppress(OSError):
        return not any(map(_lives, Path(f"/proc/{pid}/task").iterdir()))
    return True


def _lives(thread: Path) -> bool:
    """Return whether a thread lives; one may end while the others are looked at."""
    with suppress(OSError):
        return (thread / "stat").read_text().rpartition(") ")[2][0] not in "ZX"
    return False


class Tree:
    """``manage.py worker``, started again whenever it ends."""

    def __init__(self, index: int, directory: Path) -> None:
        self.log = directory / f"worker-{index}.log"
        self.start()

    def start(self) -> None:
        """Start it; it is ready when it says so."""
        self.is_ready = False
        options = ("--processes", "2", "--threads", "4", "--grace", "20")
        self.process = python("django", "worker", *options, log=self.log)
        Thread(target=self._listen, args=[self.process], daemon=True).start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if process is self.process and line.rstrip().endswith("ready"):
                self.is_ready = True

    @property
    def children(self) -> list[int]:
        """Its worker processes."""
        return children_of(self.process.pid)

    def replace(self) -> None:
        """Bury what has ended, and start a new one."""
        self.process.wait(PATIENCE_SECONDS)
        self.start()

    def kill(self) -> list[int]:
        """Kill all of it at once; return who died."""
        dead = [self.process.pid, *self.children]
        for pid in dead:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return dead

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code


def wait_for(condition: object, what: str) -> None:
    """Wait until a function returns true; ``TimeoutError`` after a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    assert callable(condition)
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never: {what}")
        time.sleep(GLANCE_SECONDS)
