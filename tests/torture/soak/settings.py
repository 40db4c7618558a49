"""The site under soak: quick leases, and a ledger that every process appends to."""

from datetime import timedelta

from tests.settings import *  # noqa: F403

ERRANDS = {
    "IMPORTS": ["tests.torture.soak.tasks"],
    "HEARTBEAT": timedelta(seconds=0.5),
    "LEASE": timedelta(seconds=3),
    "SWEEP": timedelta(seconds=1),
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    # Tasks raise by the thousand, on purpose.
    "loggers": {"django.tasks": {"level": "CRITICAL"}},
}
