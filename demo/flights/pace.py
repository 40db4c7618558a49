"""A demo device: make quick work last long enough to be watched."""

import time
from collections.abc import Iterable, Iterator

from django.conf import settings

PAUSES = 60


def paced[T](items: Iterable[T], *, total: int, stretch: int = 1) -> Iterator[T]:
    """Yield the items unchanged, but take DEMO_PACE × ``stretch`` seconds.

    There are 60 × ``stretch`` pauses, at most one after each item.
    """
    every = max(1, total // (PAUSES * stretch))
    for number, item in enumerate(items, 1):
        yield item
        if number % every == 0:
            time.sleep(settings.DEMO_PACE / PAUSES)
