"""How fast a run goes on, and when that is worth telling."""

import math

from django.utils.translation import gettext, ngettext

HALF_LIFE = 30.0
"""Seconds after which an observation counts half."""

CREDIBLE_AFTER = 5.0
"""Seconds of observation before a rate is told."""

CREDIBLE_UPDATES = 3
"""Observations before a rate is told."""

TOO_SHORT = 0.01
"""Seconds in which nothing can be observed; it counts in the next observation."""


class Pace:
    """An exponentially weighted rate, silent until it is credible."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._current = 0
        self._updates = 0
        self._weighted = 0.0
        self._weight = 0.0

    def observe(self, now: float, current: int) -> None:
        """Take note that ``current`` units were done at ``now`` (seconds)."""
        if self._first is None:
            # What was done before, by a former attempt, says nothing of pace.
            self._first = self._last = now
            self._current = current
            return
        elapsed = now - self._last
        if elapsed < TOO_SHORT:
            return
        kept = 0.5 ** (elapsed / HALF_LIFE)
        speed = (current - self._current) / elapsed
        self._weighted = self._weighted * kept + speed * (1 - kept)
        self._weight = self._weight * kept + (1 - kept)
        self._last, self._current = now, current
        self._updates += 1

    @property
    def rate(self) -> float | None:
        """Units per second, or None while it would be a guess."""
        if self._first is None or self._updates < CREDIBLE_UPDATES:
            return None
        if self._last - self._first < CREDIBLE_AFTER or self._weighted <= 0:
            return None
        return self._weighted / self._weight


def seconds_left(*, current: int, total: int | None, rate: float | None) -> int | None:
    """Return the seconds to go, or None when nobody can say."""
    if total is None or not rate or current >= total:
        return None
    return math.ceil((total - current) / rate)


def describe_seconds_left(seconds: int | None) -> str:
    """Return a rounded phrase in the active language; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return gettext("a few seconds left")
    if seconds <= 50:
        tens = math.ceil(seconds / 10) * 10
        return gettext("about %(count)d seconds left") % {"count": tens}
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return _minutes(minutes)
    hours = round(minutes / 60)
    return _hours(hours) if hours < 48 else _days(round(hours / 24))


def _minutes(count: int) -> str:
    return ngettext(
        "about %(count)d minute left", "about %(count)d minutes left", count
    ) % {"count": count}


def _hours(count: int) -> str:
    return ngettext("about %(count)d hour left", "about %(count)d hours left", count) % {
        "count": count
    }


def _days(count: int) -> str:
    return ngettext("about %(count)d day left", "about %(count)d days left", count) % {
        "count": count
    }
