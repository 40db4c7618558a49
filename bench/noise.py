"""How quiet the machine is, beside what we measure.

A fixed loop is timed between turns, when nothing of ours runs. On a quiet
machine it always takes the same; where it does not, others were at work, and
a ratio smaller than that spread says little.
"""

import time

LOOPS = 400_000
QUIET = 1.15


def probe() -> float:
    """Return the milliseconds that a fixed loop takes now."""
    started = time.perf_counter()
    total = 0
    for number in range(LOOPS):
        total += number
    return (time.perf_counter() - started) * 1000


def verdict(probes: list[float]) -> str:
    """Say how far the probes of a run lie apart, and what that means."""
    if not probes:
        return ""
    spread = max(probes) / min(probes)
    told = (
        f"A fixed loop, timed {len(probes)} times between turns, took "
        f"{min(probes):.0f}–{max(probes):.0f} ms ({spread:.2f}×). "
    )
    if spread <= QUIET:
        return told + "The machine was quiet."
    return told + (
        "**The machine was not quiet**: others worked on it during some turns. "
        "Do not read a difference smaller than the ranges in the tables."
    )
