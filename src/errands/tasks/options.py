"""The options of a task beyond those of ``django.tasks``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any

from errands.exceptions import RecordGone
from errands.tasks.backoff import (
    Backoff,
    check_backoff,
    check_signatures,
    exponential,
    per_exception,
)
from errands.tasks.context import dump_metadata
from errands.tasks.rates import Rate
from errands.text import did_you_mean

MOST_ATTEMPTS = 10_000
MOST_AT_ONCE = 1_000_000

BELONG_TO_THE_CODE = (
    "backoff",
    "retry_on",
    "discard_on",
    "transactional",
    "at_most_once",
)
"""Options that cannot travel with one call: the worker reads them in the code."""

type Exceptions = tuple[type[BaseException], ...]

OF_DJANGO = ["priority", "queue_name", "backend", "run_after", "takes_context"]
# What other queues call them.
ELSEWHERE = {
    "queue": "queue_name",
    **dict.fromkeys(("countdown", "delay", "eta", "schedule"), "run_after"),
    **dict.fromkeys(("max_retries", "retries", "attempts"), "max_attempts"),
    "autoretry_for": "retry_on",
    **dict.fromkeys(("dont_autoretry_for", "throws"), "discard_on"),
    **dict.fromkeys(
        ("default_retry_delay", "retry_backoff_max", "retry_jitter"), "backoff"
    ),
    **dict.fromkeys(("soft_time_limit", "time_limit"), "timeout"),
    **dict.fromkeys(("ignore_result", "result_ttl"), "keep"),
    "rate_limit": "rate",
    "bind": "takes_context",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """How often a task is tried, when, beside what, and what remains of it."""

    max_attempts: int = 3
    """Attempts that may end in an exception; a crash or a deploy uses none.

    What must be started ``at_most_once`` has one.
    """

    backoff: Backoff = exponential()
    """``backoff(exception, task_result)`` returns seconds, or None to give up.

    Or a mapping from exception classes to such functions; the first entry that
    fits decides, and without one the default does.
    """

    retry_on: Exceptions = (Exception,)
    """Exceptions after which the task is tried again; others end it."""

    discard_on: Exceptions = (RecordGone,)
    """Exceptions after which the task is discarded, not retried."""

    timeout: timedelta | None = None
    """How long one attempt may take; after that ``TaskTimeout`` is raised in it."""

    at_most_once: bool = False
    """Never start it a second time; what dies meanwhile ends as *lost*."""

    transactional: bool = False
    """Run and settle it in one transaction of the queue's database."""

    unique: bool | tuple[str, ...] | str = False
    """Refuse a second live call: by all arguments, those named, or a template."""

    concurrency: tuple[str, int] | None = None
    """A key, and how many tasks with that key may run at the same time."""

    rate: tuple[str, str] | None = None
    """A key, and how many tasks with that key may start: ``"100/m"``."""

    keep: timedelta | Mapping[str, timedelta] | None = field(default=None, hash=False)
    """How long its result is kept, or ``{"succeeded": …, "failed": …}``."""

    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What ``context.metadata`` starts with; JSON."""

    def __post_init__(self) -> None:
        for name in ("retry_on", "discard_on"):
            object.__setattr__(self, name, _exceptions(name, getattr(self, name)))
        if isinstance(self.backoff, Mapping):
            object.__setattr__(self, "backoff", per_exception(self.backoff))
        check_backoff("backoff", self.backoff)
        self._check_attempts()
        self._check_sharing()
        if self.timeout is not None and not _is_positive(self.timeout):
            raise ValueError(
                f"timeout is {self.timeout!r}; it takes a positive timedelta, such as "
                "timedelta(minutes=2)."
            )
        _check_keep(self.keep)
        _check_metadata(self.metadata)

    @property
    def changeable(self) -> dict[str, Any]:
        """Those that one call may have for itself."""
        names = {each.name for each in fields(self)} - {*BELONG_TO_THE_CODE}
        return {name: getattr(self, name) for name in names}

    @classmethod
    def parse(cls, options: dict[str, Any]) -> "TaskOptions":
        """Return the options of a decorator; an unknown one is a ``TypeError``."""
        _refuse_unknown(options)
        if options.get("at_most_once"):
            options = {"max_attempts": 1, **options}
        made = cls(**options)
        if "backoff" in options:
            check_signatures("backoff", options["backoff"])
        return made

    def overridden(self, options: dict[str, Any]) -> "TaskOptions":
        """Return these options with those of one call.

        An option that does not travel with a call, such as ``backoff``, is a
        ``TypeError``: the worker would not see it.
        """
        _refuse_unknown(options)
        for name in options:
            if name in BELONG_TO_THE_CODE:
                raise TypeError(
                    f"using() cannot change {name}: it belongs to the code, not to "
                    f"one call. Set it in @task({name}=…)."
                )
        return replace(self, **options)

    def _check_attempts(self) -> None:
        attempts = self.max_attempts
        if type(attempts) is not int or not 1 <= attempts <= MOST_ATTEMPTS:
            raise ValueError(
                f"max_attempts is {attempts!r}; it is a whole number from 1 to "
                f"{MOST_ATTEMPTS:,}."
            )
        for name in ("at_most_once", "transactional"):
            if type(given := getattr(self, name)) is not bool:
                raise TypeError(f"{name} is {given!r}; it takes True or False.")
        if self.at_most_once and attempts != 1:
            raise ValueError(
                f"max_attempts is {attempts}, and at_most_once allows one attempt. "
                "Leave one of them out."
            )
        if self.at_most_once and self.transactional:
            raise TypeError(
                "at_most_once and transactional exclude each other: a transaction "
                "that did not commit may be run again."
            )

    def _check_sharing(self) -> None:
        for name in ("unique", "concurrency", "rate"):
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        if not isinstance(self.unique, bool | tuple | str):
            raise TypeError(
                f"unique is {self.unique!r}; it takes True, names of arguments, or a "
                "key such as 'account:{account}'."
            )
        if self.unique in ((), ""):
            raise ValueError(
                f"unique is {self.unique!r}, which names nothing. Pass True for all "
                "arguments, or False for a task that is not unique."
            )
        _check_pair("concurrency", self.concurrency, "('account:{account}', 2)")
        _check_pair("rate", self.rate, "('partner', '100/m')")
        if self.concurrency is not None:
            limit = self.concurrency[1]
            if type(limit) is not int or not 1 <= limit <= MOST_AT_ONCE:
                raise ValueError(
                    f"concurrency is {self.concurrency!r}; its limit is a whole number "
                    f"from 1 to {MOST_AT_ONCE:,}."
                )
        if self.rate is not None:
            Rate.parse(self.rate[1])


def _exceptions(name: str, given: Any) -> Exceptions:
    is_one = isinstance(given, type | str) or not isinstance(given, Iterable)
    kinds = (given,) if is_one else tuple(given)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(
                f"{name} holds {kind!r}, not an exception class. It takes classes such "
                "as (OSError, TimeoutError)."
            )
    return kinds


def _check_pair(name: str, given: Any, example: str) -> None:
    is_pair = isinstance(given, tuple | list) and len(given) == 2
    if given is not None and not (is_pair and isinstance(given[0], str) and given[0]):
        raise TypeError(f"{name} is {given!r}; it takes a key and a limit: {example}.")


def _is_positive(given: object) -> bool:
    return isinstance(given, timedelta) and given > timedelta()


def _check_keep(keep: object) -> None:
    kept = keep.values() if isinstance(keep, Mapping) else [keep]
    outcomes = set(keep) if isinstance(keep, Mapping) else set()
    if outcomes - {"succeeded", "failed"}:
        raise ValueError(f"keep is {keep!r}; its keys are 'succeeded' and 'failed'.")
    for each in kept:
        if each is None and isinstance(keep, Mapping):
            raise TypeError(
                f"keep is {keep!r}; leave an outcome out to keep its results as the "
                "site does."
            )
        if each is not None and not (isinstance(each, timedelta) and each >= timedelta()):
            raise TypeError(
                f"keep is {keep!r}; it takes a timedelta, or a dict such as "
                "{'succeeded': timedelta(0), 'failed': timedelta(days=30)}."
            )


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata is {metadata!r}; it takes a dict of JSON values.")
    for key in metadata:
        if not isinstance(key, str) or key.startswith("_"):
            raise ValueError(
                f"metadata has the key {key!r}; keys are texts that do not begin "
                "with '_'."
            )
    if metadata:
        dump_metadata(dict(metadata))


def _refuse_unknown(options: dict[str, Any]) -> None:
    known = [field.name for field in fields(TaskOptions)]
    for name in options:
        if name not in known:
            known += OF_DJANGO
            meant = ELSEWHERE.get(name, name)
            hint = did_you_mean(meant, known) or f" Known: {', '.join(known)}."
            raise TypeError(f"Unknown task option {name!r}.{hint}")
