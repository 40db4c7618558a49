"""Server-sent events: the JSON state, pushed whenever it changes.

Only under ASGI, where a waiting answer costs no thread. A watcher asks the
database every half second in a pool thread and holds no connection meanwhile.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.views.decorators.http import require_safe

from errands.jobs.access import avisible_run, visible_run
from errands.jobs.state import RunState
from errands.jobs.views.answers import sealed

LOOK_EVERY = 0.5
HEARTBEAT_EVERY = 15
LONGEST = 600
HEARTBEAT = ": alive\n\n"


@require_safe
async def events(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Stream a run's state until it ends, at most ten minutes.

    A browser connects again by itself. Without ASGI the answer is that of a
    run that does not exist; ``links.events`` is null there.
    """
    run = await avisible_run(request, pk)
    if not isinstance(request, ASGIRequest):
        raise Http404
    response = StreamingHttpResponse(
        _changes(request, run.pk, language=translation.get_language()),
        content_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )
    return sealed(response)


async def _changes(
    request: ASGIRequest, pk: UUID, *, language: str | None
) -> AsyncIterator[str]:
    """Yield an event for each new state, and a comment when all is quiet."""
    ends_at = time.monotonic() + LONGEST
    sent, sent_at = "", time.monotonic()
    while time.monotonic() < ends_at:
        current = await sync_to_async(_look)(request, pk, language=language)
        if current is None:
            return
        tag, event, is_finished = current
        if tag != sent:
            yield event
            sent, sent_at = tag, time.monotonic()
        elif time.monotonic() - sent_at >= HEARTBEAT_EVERY:
            yield HEARTBEAT
            sent_at = time.monotonic()
        if is_finished:
            return
        await asyncio.sleep(LOOK_EVERY)


def _look(
    request: ASGIRequest, pk: UUID, *, language: str | None
) -> tuple[str, str, bool] | None:
    """Read the run as the user may see it now; None once they may not."""
    try:
        with translation.override(language):
            state = RunState(visible_run(request, pk), request)
            event = f"event: state\ndata: {json.dumps(state.as_json())}\n\n"
            return state.etag, event, state.run.is_finished
    except Http404:
        return None
    finally:
        close_old_connections()
