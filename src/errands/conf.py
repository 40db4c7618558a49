"""The settings of errands: one frozen dataclass, every default visible.

A site changes them with ``ERRANDS = {"LEASE": timedelta(minutes=1), …}``; the
keys are the field names in upper case. Nothing is read at import.
"""

import difflib
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a site may set in ``ERRANDS``."""

    imports: tuple[str, ...] = ()
    """Modules a worker imports besides every app's ``tasks`` and ``jobs``."""

    base_url: str = ""
    """Scheme and host of the site, for jobs started without a request."""

    storage: str = "default"
    """The ``STORAGES`` alias that keeps the results of jobs."""

    heartbeat: timedelta = timedelta(seconds=5)
    """How often a worker process says that it lives."""

    lease: timedelta = timedelta(seconds=30)
    """How long after its last heartbeat a worker counts as lost."""

    sweep: timedelta = timedelta(seconds=10)
    """How often every worker does the periodic upkeep."""

    grace: timedelta = timedelta(seconds=25)
    """How long running tasks may go on after SIGTERM."""

    threads: int = 5
    """Tasks one worker process runs at the same time."""

    coroutines: int = 100
    """Tasks written with ``async def`` that one worker process runs besides."""

    timeout_grace: timedelta = timedelta(seconds=10)
    """How long past its ``timeout`` a task may end; then its process is killed."""

    crashes: int = 3
    """How many dead processes end a task as crashed."""

    releases: int = 100
    """How often a task may be given back uncharged before it counts as a crash."""

    keep_succeeded: timedelta = timedelta(days=7)
    """How long the results of succeeded tasks are kept."""

    keep_failed: timedelta = timedelta(days=30)
    """How long the results of failed tasks are kept."""

    unknown_task_patience: timedelta = timedelta(days=1)
    """How long a task no worker knows waits for one that does."""

    mail_failures: bool = False
    """Whether ADMINS get a mail when a task has failed for good."""

    mail_failures_every: timedelta = timedelta(minutes=10)
    """At most one such mail of each task in this time; zero mails every failure."""

    runserver_worker: bool = True
    """Whether ``runserver`` starts a worker as its child."""

    fork: bool = True
    """Whether worker processes may be copies of their supervisor."""


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the site's settings, read once.

    Raises ``ImproperlyConfigured`` for an unknown key or a value of the wrong
    type, naming both and the remedy.
    """
    configured = dict(getattr(django_settings, "ERRANDS", {}))
    kinds = {field.name.upper(): type(field.default) for field in fields(Settings)}
    return Settings(
        **{key.lower(): _checked(key, value, kinds) for key, value in configured.items()}
    )


def _checked(key: str, value: Any, kinds: dict[str, type]) -> Any:
    if key not in kinds:
        near = difflib.get_close_matches(key, kinds, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(kinds)}."
        raise ImproperlyConfigured(f"Unknown setting '{key}' in ERRANDS. {hint}")
    if kinds[key] is tuple and isinstance(value, list):
        return tuple(value)
    if type(value) is not kinds[key]:
        raise ImproperlyConfigured(
            f"ERRANDS['{key}'] is {value!r}; it takes a {kinds[key].__name__}."
        )
    return value


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "ERRANDS":
        settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="errands.conf")
