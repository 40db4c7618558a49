"""How long the result of a task is kept.

A result expires at an instant of its own where the task or the call says how
long it is kept, or where the site keeps none; the pruner asks the site's
settings about all others, so that changing those changes what is kept.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from errands.conf import settings
from errands.exceptions import DecodeError
from errands.queue.claims import Payload
from errands.tasks.attempt import options_of
from errands.tasks.registry import registry

NOTHING = timedelta()
LONGEST = timedelta(days=36_500)
MOST_SECONDS = LONGEST.total_seconds()

type Keep = timedelta | Mapping[str, timedelta] | None


def kept(path: str, payload: str, *, has_succeeded: bool) -> timedelta | None:
    """Return how long a stored call's result is kept; None: the site decides.

    The call decides before the task as this process knows it. The site keeping
    nothing is zero.
    """
    try:
        options = Payload.parse(payload).options
    except DecodeError:
        options = {}
    return kept_by(path, options, has_succeeded=has_succeeded)


def kept_by(
    path: str, options: Mapping[str, Any], *, has_succeeded: bool
) -> timedelta | None:
    """Return the same, from the options of a payload that has been read."""
    outcome = "succeeded" if has_succeeded else "failed"
    keep: timedelta | None = None
    if "keep" in options:
        keep = _carried(options["keep"], outcome)
    elif (task := registry.find(path)) is not None:
        keep = _for_outcome(options_of(task).keep, outcome)
    return site_keeps_nothing(has_succeeded=has_succeeded) if keep is None else keep


def keep_in_seconds(keep: Keep) -> dict[str, float] | None:
    """Return the option ``keep`` as a payload carries it."""
    if keep is None:
        return None
    if isinstance(keep, timedelta):
        keep = {"succeeded": keep, "failed": keep}
    return {outcome: min(told, LONGEST).total_seconds() for outcome, told in keep.items()}


def site_keeps(*, has_succeeded: bool) -> timedelta:
    """Return how long the site keeps results that do not say it themselves."""
    keep = settings().keep_succeeded if has_succeeded else settings().keep_failed
    return min(keep, LONGEST)


def site_keeps_nothing(*, has_succeeded: bool) -> timedelta | None:
    """Return zero where the site keeps no results of that kind, else None."""
    is_nothing = site_keeps(has_succeeded=has_succeeded) <= NOTHING
    return NOTHING if is_nothing else None


def expiry(finished_at: datetime, keep: timedelta | None) -> datetime | None:
    """Return when a result expires; None: when the site says so."""
    return None if keep is None else finished_at + min(keep, LONGEST)


def _for_outcome(keep: Keep, outcome: str) -> timedelta | None:
    return keep.get(outcome) if isinstance(keep, Mapping) else keep


def _carried(keep: Any, outcome: str) -> timedelta | None:
    """Return what a payload says; a row somebody wrote by hand says nothing."""
    seconds = keep.get(outcome) if isinstance(keep, Mapping) else None
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:
        return None
    return timedelta(seconds=seconds)
