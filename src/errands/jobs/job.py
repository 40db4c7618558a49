"""``Job``: work a person starts, watches, and gets something back from.

This module can be imported before apps are ready, in settings too: what needs
a model or a setting is imported where it is used.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urljoin

from django.core.exceptions import ObjectDoesNotExist

from errands.conf import settings
from errands.exceptions import RecordGone
from errands.jobs.attributes import check_attributes
from errands.tasks.backoff import exponential
from errands.tasks.registry import registry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django.db.models import Model
    from django.http import HttpRequest
    from django.tasks import Task
    from django.utils.functional import _StrOrPromise

    from errands.jobs.launch import Launch
    from errands.jobs.steps import Step
    from errands.runs.models import Run
    from errands.runs.possession import Possession

WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


class JobBackoff(Protocol):
    """What ``Job.backoff`` is: a function of the exception and the result."""

    def __call__(self, exception: Exception, task_result: Any, /) -> float | None:
        """Return the seconds to wait, None to give up."""


class Job:
    """Work a person starts, watches, and gets something back from.

    A subclass writes ``perform`` and lives in a module below ``jobs`` or
    ``tasks`` of an installed app. The arguments of ``start`` are checked and
    encoded in the request; ``perform`` gets them decoded, in a worker, in the
    language and time zone of whoever started it.

    ``perform`` runs at least once: after a crash or a deploy it starts again,
    or goes on at the last finished item of a ``step``. What it returns is
    None, ``Download``, ``Page``, ``Redirect``, ``Message`` or ``JSON``.
    """

    abstract: ClassVar[bool] = True
    """A base for other jobs, which cannot be started. Not inherited."""

    title: ClassVar["_StrOrPromise"] = ""
    """The heading of the run's page; without one, the class's name in words."""

    queue_name: ClassVar[str] = "jobs"
    priority: ClassVar[int] = 0
    backend: ClassVar[str] = "default"

    max_attempts: ClassVar[int] = 1
    """Attempts that may end in an exception; a crash or a deploy uses none."""

    backoff: ClassVar[JobBackoff] = exponential()
    """Seconds before the next attempt: 5, 10, 20 … 600 unless it says so."""

    discard_on: ClassVar[tuple[type[BaseException], ...]] = (RecordGone,)
    """Exceptions that end the run at once, whatever attempts remain."""

    permission_required: ClassVar[str | tuple[str, ...] | None] = None
    """Checked when a request starts the job, and again at each download."""

    result_expires: ClassVar[timedelta | None] = timedelta(days=7)
    """How long results are kept after the end; None keeps them."""

    unique: ClassVar[tuple[str, ...]] = ()
    """``("owner", "arguments")``: a second click returns the open run."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__dict__.get("abstract", False):
            return
        cls.abstract = False
        check_attributes(cls)
        _known[cls.path()] = cls
        registry.register(cls.path(), partial(_task_of, cls))

    def __init__(self, possession: "Possession") -> None:
        """Bind the job to the run its attempt has taken over."""
        self.run: Run = possession.run
        self.progress = possession.progress
        self.results = possession.results
        self._possession = possession

    def perform(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work; called in a worker with the arguments of ``start``."""
        raise NotImplementedError(f"{self.path()} has no perform().")

    # What a request calls.

    @classmethod
    def start(cls, request: "HttpRequest", /, *args: Any, **kwargs: Any) -> "Run":
        """Start the job for the user of a request and return its run.

        ``redirect(run)`` leads to its page. Raises ``PermissionDenied`` for
        an anonymous user and for one without ``permission_required``,
        ``SignatureMismatch`` and ``ArgumentError`` for arguments that do not
        fit ``perform`` or cannot be carried.
        """
        return cls.using().start(request, *args, **kwargs)

    @classmethod
    async def astart(cls, request: "HttpRequest", /, *args: Any, **kwargs: Any) -> "Run":
        """Start the job from an async view, as ``start`` does."""
        return await cls.using().astart(request, *args, **kwargs)

    @classmethod
    def enqueue(cls, /, *args: Any, **kwargs: Any) -> "Run":
        """Start the job without a request; nobody owns the run.

        ``using(owner=…)`` gives it an owner. No permission is checked.
        """
        return cls.using().enqueue(*args, **kwargs)

    @classmethod
    async def aenqueue(cls, /, *args: Any, **kwargs: Any) -> "Run":
        """Start the job without a request from async code, as ``enqueue`` does."""
        return await cls.using().aenqueue(*args, **kwargs)

    @classmethod
    def using(  # noqa: PLR0913 - one keyword per thing a start can change
        cls,
        *,
        title: "_StrOrPromise" = "",
        status: "_StrOrPromise" = "",
        language: str | None = None,
        owner: "AbstractBaseUser | None" = None,
        subject: "Model | None" = None,
        run_after: datetime | timedelta | None = None,
        queue_name: str | None = None,
        priority: int | None = None,
    ) -> "Launch":
        """Return a start with other settings: ``.using(…).start(request, …)``.

        ``status`` is what the page says until the job says something itself;
        ``subject`` the record the run is about, for ``Run.objects.about()``;
        ``run_after`` an aware datetime, or a timedelta from now.
        """
        from errands.jobs.launch import Launch

        return Launch(
            job=cls,
            title=title or cls.title or _in_words(cls.__name__),
            status=status,
            language=language,
            owner=owner,
            subject=subject,
            run_after=run_after,
            queue_name=cls.queue_name if queue_name is None else queue_name,
            priority=cls.priority if priority is None else priority,
        )

    # What ``perform`` uses.

    @property
    def owner(self) -> Any:
        """The user who started the run; None when nobody did, or who is gone."""
        try:
            return self.run.owner
        except ObjectDoesNotExist:
            # Deleted since the run was taken over.
            return None

    @property
    def language(self) -> str:
        """The language of whoever started the run."""
        return self.run.language

    @property
    def base_url(self) -> str:
        """Scheme, host and port of the request that started the run.

        Without a request it is ``ERRANDS["BASE_URL"]``; empty without both.
        """
        return self.run.base_url or settings().base_url

    def absolute_url(self, path: str) -> str:
        """Return a path of the site as an address that works in a mail."""
        from errands.jobs.site import required_base_url

        return urljoin(required_base_url(self), path)

    def track[T](
        self,
        items: Iterable[T],
        *,
        total: int | None = None,
        title: "_StrOrPromise" = "",
    ) -> Iterator[T]:
        """Yield the items and move the bar after each.

        A queryset is counted with one COUNT unless ``total`` is given, and
        read in chunks of 2,000. Each item is a checkpoint: a cancelled job
        and a stopping worker leave here, between two items.
        """
        from errands.jobs.tracking import track

        return track(self.progress, items, total=total, title=title)

    def step(self, name: str, *, title: "_StrOrPromise" = "") -> "Step":
        """Return a step that goes on at its last finished item.

        ``with self.step("import") as step: for row in step.track(…)``
        """
        from errands.jobs.steps import Step

        return Step(self._possession, name, title=title)

    def status(self, text: "_StrOrPromise") -> None:
        """Say on the page what is being done now."""
        self.progress.status(str(text))

    def log(self, text: "_StrOrPromise") -> None:
        """Add a line to the log on the page."""
        self.progress.log(str(text))

    # What the class is called.

    @classmethod
    def path(cls) -> str:
        """Return the dotted path the class and its task are known by."""
        return f"{cls.__module__}.{cls.__qualname__}"

    @classmethod
    def permissions(cls) -> tuple[str, ...]:
        """Return the permissions that starting and downloading take."""
        required = cls.permission_required or ()
        return (required,) if isinstance(required, str) else tuple(required)

    @staticmethod
    def named(path: str) -> "type[Job] | None":
        """Return the job class of that path, None if this process has none."""
        return _known.get(path)

    @staticmethod
    def known() -> "list[type[Job]]":
        """Return the job classes this process has, abstract ones left out."""
        return list(_known.values())


_known: dict[str, type[Job]] = {}


def _task_of(job: type[Job]) -> "Task":
    from errands.jobs.perform import task_of

    return task_of(job)


def _in_words(name: str) -> str:
    """Return a class's name in words: ``PDFReport`` → ``PDF report``."""
    first, *others = WORD_STARTS.sub(" ", name).split()
    return " ".join(
        [first, *(word if word.isupper() else word.lower() for word in others)]
    )
