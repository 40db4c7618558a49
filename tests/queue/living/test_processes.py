"""What the system says about processes."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from errands.queue.living.processes import has_ended, is_stopped, process_boot


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that waits for its standard input to end."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def test_a_process_that_nobody_reaps_has_ended(child):
    boot = process_boot(child.pid)

    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    of_zombie = process_boot(child.pid)

    assert boot != ""
    assert of_zombie == ""


def test_a_process_that_somebody_stopped_is_told_from_one_that_runs(child):
    before = is_stopped(child.pid)

    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    stopped = is_stopped(child.pid)
    os.kill(child.pid, signal.SIGCONT)
    os.waitid(os.P_PID, child.pid, os.WCONTINUED)

    assert (before, stopped, is_stopped(child.pid)) == (False, True, False)


def test_nothing_is_said_of_a_process_that_nobody_knows():
    nobody = 2**22 + 1

    assert process_boot(nobody) == ""
    assert not is_stopped(nobody)
    assert has_ended(nobody, "id namespace 5")


@pytest.mark.parametrize("error", [FileNotFoundError(), OSError(errno.EMFILE, "full")])
def test_a_process_that_cannot_be_looked_at_has_not_ended(child, monkeypatch, error):
    boot = process_boot(child.pid)

    def refuse(path: Path, **options: object) -> str:
        raise error

    monkeypatch.setattr(Path, "read_text", refuse)

    assert not has_ended(child.pid, boot)
    assert not is_stopped(child.pid)
    assert process_boot(child.pid) == ""


def test_a_process_may_be_called_anything():
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b'caf\\xc3'); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()

        boot = process_boot(process.pid)
        has_ended_early = has_ended(process.pid, boot)
        process.communicate(b"\n")

    assert boot
    assert not has_ended_early
    assert has_ended(process.pid, boot)
