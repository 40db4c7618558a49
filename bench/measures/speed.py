"""How fast a queue takes tasks in, and how fast its workers drain them."""

import time
from pathlib import Path

from bench.peers.peer import Peer
from bench.processes import Fleet, Silent

CHUNK = 50
STARTING_SECONDS = 60
SETTLING_SECONDS = 30


def enqueue_each(peer: Peer, *, seconds: float) -> float:
    """Return tasks per second, one enqueue after the other, in one process."""
    peer.enqueue_each(CHUNK)
    number, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        peer.enqueue_each(CHUNK)
        number += CHUNK
    peer.clear()
    return number / elapsed


def enqueue_many(peer: Peer, *, number: int) -> float:
    """Return tasks per second of one enqueue of many."""
    if not peer.is_bulk:
        number //= 20
    started = time.perf_counter()
    peer.enqueue_many(number)
    elapsed = time.perf_counter() - started
    peer.clear()
    return number / elapsed


def drain(peer: Peer, *, processes: int, share: float, log: Path) -> float:
    """Return no-op tasks per second.

    From the start of the first task to the moment when the queue's own tables
    say that none is left: what is executed but not yet settled does not count.
    Start-up of the worker does not count either.
    """
    number = int(peer.drained * share)
    peer.enqueue_many(number)
    with Fleet(peer.workers(processes), log) as fleet:
        fleet.wait_for_ticks(1, seconds=STARTING_SECONDS)
        seen = fleet.wait_for_ticks(number, seconds=STARTING_SECONDS)
        deadline = time.monotonic() + SETTLING_SECONDS
        while left := peer.unfinished():
            if time.monotonic() > deadline:
                raise Silent(f"{left:,} of {number:,} tasks were never settled")
            time.sleep(0.005)
        ended = time.monotonic_ns()
    peer.clear()
    return (number - 1) / (ended - seen.first) * 1e9
