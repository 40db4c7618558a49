"""Imported by a worker, it makes its polls rare.

With one look an hour, whatever is noticed sooner was told of.
"""

from datetime import timedelta
from math import inf

from errands.queue import horizon
from errands.worker import bell, courier, upkeep, workplace

RARELY = timedelta(hours=1)

bell.LONGEST_SLEEP = RARELY
for module in (courier, workplace):
    module.COURIER_POLL_SECONDS = RARELY.total_seconds()
for module in (upkeep, workplace):
    module.UPKEEP_POLL_SECONDS = RARELY.total_seconds()

# Claims that are slow because the machine is begin behind the last one: what
# was committed out of turn would be left for the next look.
horizon.SLOW_SECONDS = inf
