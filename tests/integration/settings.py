"""The site under test with quick sweeps, for real worker processes.

A lease outlives a machine that stands still for a while: a test that needs one
to end shortens it for that worker, or ends it (``leases.py``).
"""

import os
from datetime import timedelta

from tests.settings import *  # noqa: F403


def _seconds(variable: str, default: float) -> timedelta:
    return timedelta(seconds=float(os.environ.get(variable, default)))


LEASE = _seconds("LEASE_SECONDS", 60)
ERRANDS = {
    "IMPORTS": [
        "tests.integration.hostile_tasks",
        *os.environ.get("MORE_IMPORTS", "").split(),
    ],
    "HEARTBEAT": min(LEASE / 6, timedelta(seconds=1)),
    "LEASE": LEASE,
    "FORK": "WITHOUT_FORK" not in os.environ,
    "SWEEP": _seconds("SWEEP_SECONDS", 0.5),
    "TIMEOUT_GRACE": _seconds("TIMEOUT_GRACE_SECONDS", 0.3),
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
