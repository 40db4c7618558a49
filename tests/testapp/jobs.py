"""Jobs the tests start and workers run."""

import os
import signal
import time
from pathlib import Path

from django.db import transaction

from errands import Download, Job, Message
from tests.testapp.models import Account

GLANCE_SECONDS = 0.01
LINES = 1000


def wait_for(path: Path) -> None:
    """Return when the file exists."""
    while not path.exists():
        time.sleep(GLANCE_SECONDS)


class WriteLines(Job):
    """Write lines into a file; half-way, wait to be let go."""

    title = "Lines"

    def perform(self, directory: str, *, in_transaction: bool = False) -> Download:
        """Write, and note beside it who did."""
        place = Path(directory)
        with self.results.open("lines.txt", "w") as file:
            if in_transaction:
                with transaction.atomic():
                    self._write(file, place)
            else:
                self._write(file, place)
        return Download("lines.txt")

    def _write(self, file, place: Path) -> None:
        for number in self.track(range(LINES), title="Writing lines"):
            file.write(f"{number}\n")
            if number == LINES // 2:
                self.progress.flush()
                (place / "half-way").write_text(str(os.getpid()))
                wait_for(place / "go")


class CountPolitely(Job):
    """Count in a step that goes on where it stopped."""

    def perform(self, directory: str) -> Message:
        """Append each number to a file, once."""
        place = Path(directory)
        with self.step("count") as step:
            left = range(0 if step.cursor is None else step.cursor + 1, LINES)
            for number in step.track(left, cursor=int):
                with (place / "numbers").open("a") as numbers:
                    numbers.write(f"{number}\n")
                if number == LINES // 2:
                    self._wait(place)
        return Message("Counted")

    def _wait(self, place: Path) -> None:
        """Wait to be let go, with a checkpoint at each glance."""
        (place / "half-way").write_text(str(os.getpid()))
        while not (place / "go").exists():
            self.progress.advance(0)
            time.sleep(GLANCE_SECONDS)


class KillWorker(Job):
    """Kill the process that runs it."""

    def perform(self) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class Break(Job):
    """End as no job should."""

    def perform(self) -> None:
        """Break."""
        raise ValueError("no luck")


class Greet(Job):
    """Say hello to an account."""

    def perform(self, account: Account) -> Message:
        """Greet."""
        return Message(f"Hello {account.name}")
