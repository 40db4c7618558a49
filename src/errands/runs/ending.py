"""The one way a run ends, whoever ends it."""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from errands.runs.fence import run_alias
from errands.runs.files import remove_strays
from errands.runs.models import RunQuerySet
from errands.runs.states import OPEN, State


def end(runs: RunQuerySet, run_id: UUID, *, state: State, **fields: Any) -> bool:
    """End a run that is among ``runs``; False if it was not, or had ended.

    Files that no result names are removed once the end is committed.
    """
    ended = runs.filter(pk=run_id, state__in=OPEN).update(
        state=state,
        finished_at=timezone.now(),
        is_interrupted=False,
        unique_key=None,
        version=F("version") + 1,
        **fields,
    )
    if ended:
        strays = partial(remove_strays, run_id)
        transaction.on_commit(strays, using=run_alias(), robust=True)
    return bool(ended)
