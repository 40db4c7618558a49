"""Where the files of runs are kept, and how they go.

Every file of a run lies below ``errands/<run id>/``, under a name made up here:
what a job or a visitor calls a file never becomes a path.
"""

import logging
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.files.storage import FileSystemStorage, Storage, storages
from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils.crypto import get_random_string

from errands.conf import settings
from errands.runs.fence import Fence, run_alias
from errands.runs.models import Run, RunResult
from errands.runs.progress_row import delete_row

logger = logging.getLogger("errands.runs")

TOP = "errands"


def new_key(fence: Fence) -> str:
    """Return the storage name of a new file of an attempt.

    Without the file's own extension, so that no web server in front of the
    storage serves it as a page.
    """
    attempt = f"{fence.dispatch}-{fence.token}"
    return f"{TOP}/{fence.run_id}/{attempt}/{get_random_string(22)}"


def depends_on_the_directory(storage: Storage) -> bool:
    """Return whether each process finds other files, for where it was started.

    ``FileSystemStorage`` takes a location that is empty, as ``MEDIA_ROOT`` is by
    default, or relative, for one below the current directory.
    """
    if not isinstance(storage, FileSystemStorage):
        return False
    return not Path(storage.base_location).is_absolute()


def remove(storage: str, key: str) -> None:
    """Delete a file; a storage that fails is logged, not raised."""
    try:
        storages[storage].delete(key)
    except Exception:
        logger.warning("Storage %r cannot delete %r", storage, key, exc_info=True)


def remove_strays(run_id: UUID) -> None:
    """Delete the files of an ended run that none of its results names.

    They were left by attempts that died or lost their lease.
    """
    rows = RunResult.objects.using(run_alias()).filter(run=run_id)
    remove_all(run_id, keep=set(rows.values_list("key", flat=True)))


def remove_all(run_id: UUID, *, keep: Container[str] = ()) -> None:
    """Delete every file of a run but those in ``keep``.

    What a storage cannot list or delete is logged and stays.
    """
    alias = settings().storage
    try:
        _clear(storages[alias], f"{TOP}/{run_id}", keep=keep)
    except Exception:
        logger.warning("Cannot clear run %s in %r", run_id, alias, exc_info=True)


@receiver(post_delete, sender=RunResult, dispatch_uid="errands.runs.files")
def _remove_with_result(instance: RunResult, using: str, **kwargs: Any) -> None:
    if instance.key:
        file = partial(remove, instance.storage, instance.key)
        transaction.on_commit(file, using=using, robust=True)


@receiver(post_delete, sender=Run, dispatch_uid="errands.runs.files")
def _remove_with_run(instance: Run, using: str, **kwargs: Any) -> None:
    for removal in (remove_all, delete_row):
        transaction.on_commit(partial(removal, instance.pk), using=using, robust=True)


def _clear(storage: Storage, directory: str, *, keep: Container[str]) -> bool:
    """Delete what is below a directory; return whether all of it went."""
    try:
        directories, names = storage.listdir(directory)
    except FileNotFoundError:
        return True
    kept = [name for name in names if f"{directory}/{name}" in keep]
    for name in set(names).difference(kept):
        storage.delete(f"{directory}/{name}")
    cleared = [_clear(storage, f"{directory}/{name}", keep=keep) for name in directories]
    if kept or not all(cleared):
        return False
    storage.delete(directory)
    return True
