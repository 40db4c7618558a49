"""A real worker process, and how to wait for what it does."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

# Only what is broken takes so long.
PATIENCE_SECONDS = 60.0
GLANCE_SECONDS = 0.02
# Long enough for every thread of some processes to be written down.
SHOWING_SECONDS = 1.0
# Makes a worker notice within an hour what it is not told of.
RARE_POLLS = {"MORE_IMPORTS": "tests.integration.rare_polls", "SWEEP_SECONDS": "3600"}
ROOT = Path(__file__).parent.parent.parent


def eventually(
    condition: Callable[[], object], what: str, *, within: float = PATIENCE_SECONDS
) -> None:
    """Wait until the condition is true; fail, naming it, when time is over."""
    deadline = time.monotonic() + within
    glance = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        glance.wait(GLANCE_SECONDS)


class WorkerProcess:
    """``manage.py worker`` in a process group of its own."""

    def __init__(
        self,
        *arguments: str,
        log: Path,
        hang_up_after: str = "",
        redirections: str = "",
        **environment: str,
    ) -> None:
        self.log = log
        self._hang_up_after = hang_up_after
        self.output: list[str] = []
        self._lines: SimpleQueue[str] = SimpleQueue()
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [
                    *("sh", "-c", f'exec "$0" "$@" {redirections}'),
                    *(sys.executable, "-m", "django", "worker", *arguments),
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.integration.settings",
                    "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                    **environment,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def is_ready(self) -> "WorkerProcess":
        """Wait for the line that says so."""
        self.says("ready")
        return self

    def says(self, text: str) -> str:
        """Wait for a line with the text."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_SECONDS)
            except Empty:
                pytest.fail(f"never said {text!r}: {self.output} {self.errors}")
            if text in line:
                return line

    def loses_its_reader(self) -> None:
        """Wait until nobody reads its standard output any more."""
        self._reader.join(PATIENCE_SECONDS)
        assert self.process.stdout is not None
        assert self.process.stdout.closed, f"still read: {self.output} {self.errors}"

    def ends(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"never ended: {self.output} {self.errors}")

    def ask_to_stop(self) -> None:
        """Send the supervisor, and nobody else, SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def end_lifeline(self) -> None:
        """Close the pipe that is its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def errors(self) -> str:
        """What it has logged."""
        return self.log.read_text()

    def testify(self) -> str:
        """Return all it has said, and what each of its threads does now."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGUSR1)
            time.sleep(SHOWING_SECONDS)
        return "\n".join([*self.output, self.errors])

    def kill_all(self) -> None:
        """End it and its children by force."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip())
            self._lines.put(line)
            if self._hang_up_after and self._hang_up_after in line:
                self.process.stdout.close()
                return
