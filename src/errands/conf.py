"""The settings of errands: one frozen dataclass, every default visible.

A site changes them with ``ERRANDS = {"LEASE": timedelta(minutes=1), …}``; the
keys are the field names in upper case. Nothing is read at import.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from errands.text import did_you_mean


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
    """How often a worker process says that it lives; below the lease.

    With a ``LEASE`` under 30 s and no ``HEARTBEAT``, a sixth of the lease.
    """

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


class Values(NamedTuple):
    """What a setting takes, in words and as a test."""

    told: str
    include: Callable[[Any], bool]


NOTHING = timedelta()
# What is added to an instant must not leave the calendar.
LONGEST = timedelta(days=36_500)
# A worker that the system lets wait for a moment must not look lost.
SHORTEST_LEASE = timedelta(seconds=1)
# More than that is a slip of the hand, which the system would not survive.
MOST_THREADS, MOST_COROUTINES = 1_000, 10_000

THREADS = Values(f"1 to {MOST_THREADS:,}", range(1, MOST_THREADS + 1).__contains__)
COROUTINES = Values(
    f"1 to {MOST_COROUTINES:,}", range(1, MOST_COROUTINES + 1).__contains__
)
# What the column holds that counts them.
MOST_COUNTED = 32_767
COUNT = Values(f"1 to {MOST_COUNTED:,}", range(1, MOST_COUNTED + 1).__contains__)
PERIOD = Values(
    f"a timedelta above zero, at most {LONGEST.days} days",
    lambda period: NOTHING < period <= LONGEST,
)
LEASE = Values(
    f"a timedelta of 1 second or more, at most {LONGEST.days} days",
    lambda lease: SHORTEST_LEASE <= lease <= LONGEST,
)
PATIENCE = Values(
    f"a timedelta of zero or more, at most {LONGEST.days} days",
    lambda patience: NOTHING <= patience <= LONGEST,
)
KEEPING = Values("a timedelta of zero or more", lambda keeping: keeping >= NOTHING)

KINDS = {
    bool: "True or False",
    int: "an int",
    str: "a str",
    timedelta: "a timedelta",
    tuple: "a list of names of modules",
}
TAKES = {
    "IMPORTS": Values(KINDS[tuple], lambda names: all(map(_is_module_name, names))),
    "BASE_URL": Values(
        "scheme and host, such as 'https://shop.example'",
        lambda url: not url or _has_scheme_and_host(url),
    ),
    "THREADS": THREADS,
    "COROUTINES": COROUTINES,
    **dict.fromkeys(("CRASHES", "RELEASES"), COUNT),
    "LEASE": LEASE,
    **dict.fromkeys(("HEARTBEAT", "SWEEP"), PERIOD),
    **dict.fromkeys(
        ("GRACE", "TIMEOUT_GRACE", "UNKNOWN_TASK_PATIENCE", "MAIL_FAILURES_EVERY"),
        PATIENCE,
    ),
    **dict.fromkeys(("KEEP_SUCCEEDED", "KEEP_FAILED"), KEEPING),
}


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the site's settings, read once.

    Raises ``ImproperlyConfigured`` for an unknown key or a value that means
    nothing, naming both and the remedy.
    """
    configured = getattr(django_settings, "ERRANDS", {})
    if not isinstance(configured, Mapping):
        raise ImproperlyConfigured(f"ERRANDS is {configured!r}; it takes a dict.")
    kinds = {field.name.upper(): type(field.default) for field in fields(Settings)}
    chosen = {key: _checked(key, value, kinds) for key, value in configured.items()}
    if "LEASE" in chosen:
        # Who shortens the lease alone wants lost workers to be found sooner.
        chosen.setdefault("HEARTBEAT", min(Settings().heartbeat, chosen["LEASE"] / 6))
    found = Settings(**{key.lower(): value for key, value in chosen.items()})
    if found.heartbeat >= found.lease:
        raise ImproperlyConfigured(
            f"ERRANDS['HEARTBEAT'] is {found.heartbeat!r}; it takes less than "
            f"ERRANDS['LEASE'], which is {found.lease!r}."
        )
    return found


def _checked(key: Any, value: Any, kinds: dict[str, type]) -> Any:
    if key not in kinds:
        hint = did_you_mean(str(key).upper(), kinds) or f" Known: {', '.join(kinds)}."
        raise ImproperlyConfigured(f"Unknown setting {key!r} in ERRANDS.{hint}")
    kind = kinds[key]
    given = tuple(value) if kind is tuple and isinstance(value, list) else value
    if type(given) is not kind:
        raise _refused(key, value, takes=KINDS[kind])
    if key in TAKES and not TAKES[key].include(given):
        raise _refused(key, value, takes=TAKES[key].told)
    return given


def _refused(key: str, value: Any, *, takes: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"ERRANDS['{key}'] is {value!r}; it takes {takes}.")


def _is_module_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name)


def _has_scheme_and_host(url: str) -> bool:
    if not url.isprintable() or " " in url:
        return False
    try:
        address = urlsplit(url)
        # Asked for, a port that no address can have raises.
        is_reachable = bool(address.hostname) and address.port != 0
    except ValueError:
        return False
    return is_reachable and address.scheme in {"http", "https"}


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "ERRANDS":
        settings.cache_clear()


setting_changed.connect(_forget, dispatch_uid="errands.conf")
