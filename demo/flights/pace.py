"""A demo device: make quick work last long enough to be watched."""

import time
from collections.abc import Iterable, Iterator

from django.conf import settings

PAUSES = 60


def paced[T](items: Iterable[T], *, total: int) -> Iterator[T]:
    """Yield the items, pausing 60 times for DEMO_PACE seconds in all.

    Fewer items than that are given a pause each. The items are not changed.
    """
    every = max(1, total // PAUSES)
    for number, item in enumerate(items, 1):
        yield item
        if number % every == 0:
            time.sleep(settings.DEMO_PACE / PAUSES)
