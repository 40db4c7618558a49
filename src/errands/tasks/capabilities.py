"""What an engine can do beyond ``django.tasks``.

Callers ask and do without. An engine says so by class attributes:
``supports_cancel`` (with ``cancel(result_id) -> bool``, of a text),
``supports_enqueue_many`` (with ``enqueue_many(task, calls)``), and
``database_alias`` when tasks are rows of a database of the site.
"""

from uuid import UUID

from asgiref.sync import sync_to_async
from django.tasks import task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import InvalidTaskBackend

from errands.text import did_you_mean


def backend_of(alias: str) -> BaseTaskBackend:
    """Return the backend of an alias in ``TASKS``.

    ``InvalidTaskBackend`` where there is none, as Django's own, but with those
    there are.
    """
    try:
        backend: BaseTaskBackend = task_backends[alias]
    except (InvalidTaskBackend, TypeError):
        known = list(task_backends)
        if alias in known:
            raise
        hint = did_you_mean(alias, known) or f" Known: {', '.join(known)}."
        raise InvalidTaskBackend(f"TASKS has no {alias!r:.50}.{hint}") from None
    return backend


def supports(backend: BaseTaskBackend, capability: str) -> bool:
    """Return whether the engine has ``supports_<capability>`` set."""
    return bool(getattr(backend, f"supports_{capability}", False))


def shares_database(backend: BaseTaskBackend, using: str) -> bool:
    """Return whether enqueueing joins a transaction of that database."""
    return getattr(backend, "database_alias", None) == using


def cancel(backend_alias: str, result_id: str | UUID) -> bool:
    """Cancel a task; False where it had ended or the engine cannot.

    A waiting task is cancelled at once, a running one is asked to stop.
    """
    backend = backend_of(backend_alias)
    if not supports(backend, "cancel"):
        return False
    if isinstance(result_id, UUID):
        result_id = str(result_id)
    return bool(backend.cancel(result_id))  # type: ignore[attr-defined]


async def acancel(backend_alias: str, result_id: str | UUID) -> bool:
    """Cancel a task from async code, as ``cancel`` does."""
    return await sync_to_async(cancel)(backend_alias, result_id)
