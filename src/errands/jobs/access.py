"""Who may see a run: its owner, who was granted it, who may view every run.

Everybody else, and nobody, gets the very answer that a run gets which does not
exist, after the very same queries. Every view asks here and nowhere else.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from errands.jobs.job import Job
from errands.runs.models import Run
from errands.tasks.registry import registry

VIEW_EVERY_RUN = "errands.view_run"
CHANGE_EVERY_RUN = "errands.change_run"


def visible_run(request: HttpRequest, pk: UUID) -> Run:
    """Return a run the user may see, or raise ``Http404``."""
    user = request.user
    run = Run.objects.visible_to(user).filter(pk=pk).first()
    if run is None and has_permissions(user, [VIEW_EVERY_RUN]):
        run = Run.objects.filter(pk=pk).first()
    if run is None:
        raise Http404
    return run


async def avisible_run(request: HttpRequest, pk: UUID) -> Run:
    """Return a run the user may see, or raise ``Http404``; for async views."""
    user = await request.auser()
    run = await Run.objects.visible_to(user).filter(pk=pk).afirst()
    if run is None and await sync_to_async(has_permissions)(user, [VIEW_EVERY_RUN]):
        run = await Run.objects.filter(pk=pk).afirst()
    if run is None:
        raise Http404
    return run


def cancellable_run(request: HttpRequest, pk: UUID) -> Run:
    """Return a run the user may cancel, or raise ``Http404``."""
    run = visible_run(request, pk)
    if not may_cancel(request.user, run):
        raise Http404
    return run


def may_cancel(user: Any, run: Run) -> bool:
    """Return whether a user who sees the run may cancel it.

    Who was granted a run may look, and nothing else.
    """
    return run.owner_id == user.pk or has_permissions(user, [CHANGE_EVERY_RUN])


def check_download(user: Any, run: Run) -> None:
    """Raise ``PermissionDenied`` unless the user has what the job requires now.

    A job this process does not know, even after looking, is refused: nobody
    here can say what it requires.
    """
    job = Job.named(run.job)
    if job is None:
        registry.load()
        job = Job.named(run.job)
    if job is None or not has_permissions(user, job.permissions()):
        raise PermissionDenied


def has_permissions(user: Any, permissions: Sequence[str]) -> bool:
    """Return whether the user has all of them.

    A user model of the site's own may know no permissions; its users have none.
    """
    if not permissions:
        return True
    return hasattr(user, "has_perm") and all(map(user.has_perm, permissions))
