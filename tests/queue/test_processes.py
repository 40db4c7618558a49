"""What the system says about processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from errands.queue.processes import is_stopped, process_boot


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
