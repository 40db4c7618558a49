"""How fast a queue takes tasks in, and how fast its workers drain them."""

import os
import time
from pathlib import Path

from bench import ticks
from bench.peers.peer import THREADS, Peer
from bench.processes import Fleet, Silent

CHUNK = 50
SLOW_SECONDS = 0.02
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
    """Return no-op tasks per second, of some 2 s of work.

    From the start of the first task to the moment when the queue's own tables
    say that none is left: what is executed but not yet settled does not count.
    Start-up of the worker does not count either.
    """
    number = int(peer.drained * share)
    seconds = _drained(peer, peer.workers(processes), number=number, log=log)
    return (number - 1) / seconds


def backlog(peer: Peer, *, number: int, log: Path) -> float:
    """Return the same of one process, of so many."""
    return (number - 1) / _drained(peer, peer.workers(1), number=number, log=log)


def slow(peer: Peer, *, number: int, log: Path) -> float:
    """Return how busy five threads are with tasks of 20 ms, as a share.

    1 is so many tasks in the time that five threads need which do nothing but
    run them, one after the other.
    """
    os.environ[ticks.SLOWLY] = str(SLOW_SECONDS)
    try:
        seconds = _drained(peer, peer.threaded_workers(), number=number, log=log)
    finally:
        del os.environ[ticks.SLOWLY]
    return number * SLOW_SECONDS / THREADS / seconds


def _drained(peer: Peer, workers: list[list[str]], *, number: int, log: Path) -> float:
    """Return the seconds from the first task's start until none is left."""
    peer.enqueue_many(number)
    with Fleet(workers, log) as fleet:
        fleet.wait_for_ticks(1, seconds=STARTING_SECONDS)
        seen = fleet.wait_for_ticks(number, seconds=STARTING_SECONDS)
        deadline = time.monotonic() + SETTLING_SECONDS
        while left := peer.unfinished():
            if time.monotonic() > deadline:
                raise Silent(f"{left:,} of {number:,} tasks were never settled")
            time.sleep(0.005)
        ended = time.monotonic_ns()
    peer.clear()
    return (ended - seen.first) / 1e9
