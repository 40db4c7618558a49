"""The site under test with quick leases, for real worker processes."""

import os
from datetime import timedelta

from tests.settings import *  # noqa: F403

ERRANDS = {
    "IMPORTS": [
        "tests.integration.hostile_tasks",
        *os.environ.get("MORE_IMPORTS", "").split(),
    ],
    "HEARTBEAT": timedelta(seconds=0.3),
    "LEASE": timedelta(seconds=float(os.environ.get("LEASE_SECONDS", "2"))),
    "SWEEP": timedelta(seconds=float(os.environ.get("SWEEP_SECONDS", "0.5"))),
    "TIMEOUT_GRACE": timedelta(seconds=0.3),
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
