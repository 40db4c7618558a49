"""The click: from a request, or from code, to a run.

A started job is checked and encoded here, in the caller; what a worker needs
to know about the caller, language, time zone and address, is read here too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Model
from django.http import HttpRequest
from django.urls import get_script_prefix
from django.utils import timezone, translation

from errands import instants
from errands.arguments import encode_call
from errands.jobs.access import has_permissions
from errands.jobs.job import Job
from errands.jobs.perform import task_of
from errands.jobs.site import check_pages
from errands.runs import handover
from errands.runs.fence import run_alias
from errands.runs.models import Run
from errands.tasks.signature import call_shape, call_signature, check_call
from errands.tasks.task import Task, storable

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A job about to be started, with what one call changes."""

    job: type[Job]
    title: "_StrOrPromise"
    status: "_StrOrPromise"
    language: str | None
    owner: Any
    subject: Model | None
    run_after: datetime | timedelta | None
    queue_name: str
    priority: int

    def __post_init__(self) -> None:
        if not isinstance(self.language, str | None):
            raise TypeError(
                f"language is {self.language!r:.50}; it takes a code such as 'de'."
            )

    def start(self, request: HttpRequest, /, *args: Any, **kwargs: Any) -> Run:
        """Start the job for the user of a request and return its run.

        The user is checked, and owns the run unless ``using(owner=…)`` says
        who does. Somebody without an account could never see the run's page,
        so for them it is ``PermissionDenied``; ``enqueue`` asks nobody. Nor
        could anybody without ``errands.urls``: that is ``ImproperlyConfigured``.
        """
        if not hasattr(request, "get_host"):
            raise TypeError(
                f"{self.job.__qualname__}.start() got {type(request).__name__}; it takes "
                "the request first, and then the arguments of perform. Without a "
                "request, use enqueue()."
            )
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            raise PermissionDenied("Only a user who has signed in can start a job.")
        needed = self.job.permissions()
        if not has_permissions(user, needed):
            raise PermissionDenied(f"{self.job.path()} requires {', '.join(needed)}.")
        check_pages()
        base_url = f"{request.scheme}://{request.get_host()}{get_script_prefix()}"
        owner = user if self.owner is None else self.owner
        return self._create(args, kwargs, owner=owner, base_url=base_url)

    async def astart(self, request: HttpRequest, /, *args: Any, **kwargs: Any) -> Run:
        """Start the job from an async view, as ``start`` does."""
        return await sync_to_async(self.start)(request, *args, **kwargs)

    def enqueue(self, /, *args: Any, **kwargs: Any) -> Run:
        """Start the job without a request and return its run."""
        return self._create(args, kwargs, owner=self.owner, base_url="")

    async def aenqueue(self, /, *args: Any, **kwargs: Any) -> Run:
        """Start the job without a request from async code, as ``enqueue`` does."""
        return await sync_to_async(self.enqueue)(*args, **kwargs)

    def _create(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        owner: Any,
        base_url: str,
    ) -> Run:
        job = self.job
        if job.abstract:
            raise TypeError(f"{job.path()} is abstract; start a subclass of it.")
        task = task_of(job)
        called = call_signature(job.perform, skipped=1)
        check_call(called, args, kwargs, name=f"{job.__qualname__}.perform")
        names = call_shape(job.perform, skipped=1).names
        wire_args, wire_kwargs = encode_call(args, kwargs, names=names)
        write = partial(
            handover.create,
            job_path=job.path(),
            task=task,
            args=wire_args,
            kwargs=wire_kwargs,
            owner=owner,
            title=self.title,
            status=self.status,
            language=self.language or translation.get_language() or "",
            time_zone=timezone.get_current_timezone_name(),
            base_url=base_url.rstrip("/"),
            run_after=self._due(task),
            subject=self.subject,
            queue_name=self.queue_name,
            priority=self.priority,
            backend=job.backend,
            result_expires=job.result_expires,
        )
        key = _unique_key(job, owner, [wire_args, wire_kwargs])
        return write() if key is None else _only_open_run(write, key=key, owner=owner)

    def _due(self, task: Task) -> datetime | None:
        """Return when the task is due, as the site has its instants."""
        due_at = storable(task.using(run_after=self.run_after).due().run_after)
        return None if due_at is None else instants.for_site(due_at)


def _unique_key(job: type[Job], owner: Any, arguments: list[Any]) -> str | None:
    """Return what no two open runs of the job may share; None for any number."""
    if not job.unique:
        return None
    parts: dict[str, Any] = {"job": job.path()}
    if "owner" in job.unique:
        parts["owner"] = None if owner is None else str(owner.pk)
    if "arguments" in job.unique:
        parts["arguments"] = arguments
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _only_open_run(write: Callable[..., Run], *, key: str, owner: Any) -> Run:
    """Write the run, or return the open one that holds the key.

    The unique column decides between two clicks at once; whichever run holds
    the key gives it up when it ends, perhaps while we look. A run of somebody
    else is granted to the owner of this click.
    """
    for _ in range(TRIES):
        try:
            return write(unique_key=key)
        except IntegrityError:
            # Where it was written: a replica may not have it yet.
            runs = Run.objects.using(run_alias())
            found = runs.filter(unique_key=key).first()
            if found is None:
                continue
            if owner is not None and found.owner_id != owner.pk:
                found.grant(owner)
            return found
    return write(unique_key=key)
