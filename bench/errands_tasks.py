"""The tasks of our own queue."""

import os
import time

from bench.ticks import tick
from errands import task

STALL = "ERRANDS_BENCH_STALL"


@task
def nothing() -> None:
    """Do nothing, and be counted."""
    tick()


@task
def stall() -> None:
    """Be counted, and then take the seconds the environment says."""
    tick()
    time.sleep(float(os.environ.get(STALL, "0")))
