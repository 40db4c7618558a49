"""Results: files to download, and the page a job has rendered."""

from collections.abc import AsyncIterator
from typing import IO, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from errands.jobs.access import check_download, visible_run
from errands.jobs.keeping import PAGE_RESULT
from errands.jobs.state import RunState
from errands.jobs.views.answers import private
from errands.jobs.views.pages import run_page
from errands.runs.models import Run, RunResult

GONE = 410
BLOCK = 64 * 1024


@require_safe
@private
def result(request: HttpRequest, pk: UUID, name: str) -> HttpResponseBase:
    """Send a result as a file; asked at each click whether the user may.

    Never shown in the site's own origin: attached, not sniffed, sandboxed.
    """
    run = visible_run(request, pk)
    check_download(request.user, run)
    row, file = _opened(run, name)
    if row is None or file is None:
        return run_page(run, request, status=GONE)
    offered = RunState(run, request).result or {}
    is_offered = offered.get("kind") == "download" and name == offered.get("result")
    response = _streamed(
        file,
        request,
        as_attachment=True,
        filename=offered["name"] if is_offered else row.file_name,
        content_type=row.content_type,
    )
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


@require_safe
@private
def page(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Show the page the job has rendered, as any other page of the site."""
    run = visible_run(request, pk)
    check_download(request.user, run)
    # What a visitor has uploaded may go by that name as well.
    is_page = (RunState(run, request).result or {}).get("kind") == "page"
    _, file = _opened(run, PAGE_RESULT) if is_page else (None, None)
    if file is None:
        return run_page(run, request, status=GONE)
    return _streamed(file, request, content_type="text/html; charset=utf-8")


def _opened(run: Run, name: str) -> tuple[RunResult | None, IO[bytes] | None]:
    """Open a result; nothing once it has expired or its file is gone."""
    row = None if run.is_expired else run.results.get(name)
    try:
        return row, None if row is None else row.open()
    except FileNotFoundError:
        return row, None


def _streamed(file: IO[bytes], request: HttpRequest, **options: Any) -> FileResponse:
    """Stream a file, also under ASGI, where Django would read it into memory."""
    response = FileResponse(file, **options)
    if isinstance(request, ASGIRequest):
        response.streaming_content = _blocks(file)
    return response


async def _blocks(file: IO[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    while block := await read(BLOCK):
        yield block
