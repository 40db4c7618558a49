"""Imported by a worker, it makes its polls rare.

With one look an hour, whatever is noticed sooner was told of.
"""

from datetime import timedelta

from errands.worker import courier, upkeep, workplace
from errands.worker.waking import bell

RARELY = timedelta(hours=1)

bell.LONGEST_SLEEP = RARELY
for module in (courier, workplace):
    module.COURIER_POLL_SECONDS = RARELY.total_seconds()
for module in (upkeep, workplace):
    module.UPKEEP_POLL_SECONDS = RARELY.total_seconds()
