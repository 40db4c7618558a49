"""What a worker costs and how soon it wakes, while there is nothing to do."""

import random
import time
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from bench.measures.rounds import rounds_made
from bench.peers.peer import Peer, python
from bench.processes import Fleet, Silent, rss

STARTING_SECONDS = 60
# A server may count what a session did only when that has been idle for 10 s.
CALMING_SECONDS = 15
GAPS = (0.02, 0.06)


class PickUp(NamedTuple):
    """Milliseconds from the call of ``enqueue`` to the task's first line."""

    p50: float
    p99: float


class Idle(NamedTuple):
    """What an idle worker of one process takes."""

    rss: float
    """Megabytes of the largest process."""
    tree: float
    """Megabytes of all processes."""
    shell: float
    """Megabytes of ``manage.py shell`` with the same apps; 0 without Django."""
    cpu: float
    """Per cent of a core, all processes."""
    rounds: float
    """Commits per second (PostgreSQL, SQLite) or commands (Redis)."""


def pick_up(peer: Peer, *, samples: int, seconds: float, log: Path) -> PickUp:
    """Enqueue one task after the other for an idle worker, and time it."""
    with Fleet(peer.workers(1), log) as fleet:
        peer.enqueue_each(1)
        seen = fleet.wait_for_ticks(1, seconds=STARTING_SECONDS)
        time.sleep(1)
        waits: list[float] = []
        deadline = time.monotonic() + seconds
        while len(waits) < samples and time.monotonic() < deadline:
            time.sleep(random.uniform(*GAPS))
            started = time.monotonic_ns()
            peer.enqueue_each(1)
            seen = fleet.wait_for_ticks(seen.count + 1, seconds=STARTING_SECONDS)
            waits.append((seen.last - started) / 1e6)
    peer.clear()
    return PickUp(median(waits), quantiles(waits, n=100, method="inclusive")[-1])


def idle(peer: Peer, *, seconds: float, log: Path) -> Idle:
    """Let a worker run one task, and then watch it do nothing."""
    with Fleet(peer.workers(1), log) as fleet:
        peer.enqueue_each(1)
        fleet.wait_for_ticks(1, seconds=STARTING_SECONDS)
        time.sleep(CALMING_SECONDS)
        cpu, rounds = fleet.cpu_seconds(), rounds_made(peer.place)
        time.sleep(seconds)
        cpu, rounds = fleet.cpu_seconds() - cpu, rounds_made(peer.place) - rounds
        sizes = fleet.rss()
    peer.clear()
    return Idle(
        rss=sizes[0] / 1e6,
        tree=sum(sizes) / 1e6,
        shell=_shell(log) / 1e6 if peer.apps else 0,
        cpu=cpu / seconds * 100,
        rounds=rounds / seconds,
    )


def _shell(log: Path) -> int:
    """Return the bytes of ``manage.py shell`` once it waits for input."""
    ready = "import os, pathlib, time\n"
    ready += "pathlib.Path(os.environ['ERRANDS_BENCH_TICKS'], 'ready').touch()\n"
    ready += "time.sleep(600)"
    with Fleet([python("-m", "django", "shell", "-v", "0", "-c", ready)], log) as shell:
        deadline = time.monotonic() + STARTING_SECONDS
        while not (shell.ledger / "ready").exists():
            if time.monotonic() > deadline:
                raise Silent("manage.py shell did not start")
            time.sleep(0.05)
        return rss(shell.roots[0].pid)
