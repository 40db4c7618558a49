"""Server-sent events: under ASGI the state is pushed, elsewhere it is a 404."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.utils import timezone

from errands.jobs.views import events
from errands.runs.models import Run
from errands.runs.states import State
from tests.jobs.sample import Scripted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once."""
    monkeypatch.setattr(events, "LOOK_EVERY", 0)


async def chunks_of(client: AsyncClient, run: Run) -> AsyncIterator[str]:
    """Return the chunks of a run's stream."""
    answer: Any = await client.get(f"/jobs/{run.pk}/events")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "private, no-store"
    return (chunk.decode() async for chunk in answer)


async def test_a_watcher_gets_each_change_and_the_end(
    click: HttpRequest, ann: User, async_client: AsyncClient, quick: None
) -> None:
    run = await sync_to_async(Scripted.start)(click)
    await async_client.aforce_login(ann)

    chunks = await chunks_of(async_client, run)
    first = await anext(chunks)
    ended = {"state": State.FAILED, "finished_at": timezone.now(), "version": 9}
    await Run.objects.filter(pk=run.pk).aupdate(**ended)
    rest = [chunk async for chunk in chunks]

    assert first.startswith("event: state\ndata: {")
    assert first.endswith("}\n\n")
    assert json.loads(first.partition("data: ")[2])["state"] == "queued"
    assert [json.loads(c.partition("data: ")[2])["state"] for c in rest] == ["failed"]


async def test_a_quiet_stream_has_a_heartbeat_and_an_end(
    click: HttpRequest,
    ann: User,
    async_client: AsyncClient,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await sync_to_async(Scripted.start)(click)
    await async_client.aforce_login(ann)
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr("errands.jobs.views.events.time.monotonic", lambda: next(clock))

    chunks = [chunk async for chunk in await chunks_of(async_client, run)]

    assert chunks[0].startswith("event: state")
    assert set(chunks[1:]) == {": alive\n\n"}


async def test_a_stream_ends_when_the_user_may_no_longer_see_the_run(
    click: HttpRequest, ann: User, bob: User, async_client: AsyncClient, quick: None
) -> None:
    run = await sync_to_async(Scripted.start)(click)
    await async_client.aforce_login(ann)
    chunks = await chunks_of(async_client, run)
    await anext(chunks)

    await Run.objects.filter(pk=run.pk).aupdate(owner=bob)

    assert [chunk async for chunk in chunks] == []


async def test_a_stranger_gets_no_stream(
    click: HttpRequest, bob: User, async_client: AsyncClient
) -> None:
    run = await sync_to_async(Scripted.start)(click)
    await async_client.aforce_login(bob)

    answer = await async_client.get(f"/jobs/{run.pk}/events")

    assert answer.status_code == 404


def test_without_asgi_there_is_no_stream_and_no_link_to_one(
    click: HttpRequest, browser: Client
) -> None:
    run = Scripted.start(click)

    assert browser.get(f"/jobs/{run.pk}/events").status_code == 404
    state = browser.get(f"/jobs/{run.pk}/state.json").json()
    assert state["links"]["events"] is None


async def test_under_asgi_the_state_links_to_the_stream(
    click: HttpRequest, ann: User, async_client: AsyncClient
) -> None:
    run = await sync_to_async(Scripted.start)(click)
    await async_client.aforce_login(ann)

    answer = await async_client.get(f"/jobs/{run.pk}/state.json")

    assert answer.json()["links"]["events"] == f"/jobs/{run.pk}/events"


async def test_under_asgi_a_download_is_streamed_without_a_warning(
    click: HttpRequest, ann: User, async_client: AsyncClient
) -> None:
    run = await sync_to_async(Scripted.start)(click)
    await Run.objects.filter(pk=run.pk).aupdate(state=State.SUCCEEDED)
    content = b"x" * 200_000
    await run.result_rows.acreate(
        name="a.txt",
        file_name="a.txt",
        content_type="text/plain",
        size=1,
        content=content,
    )
    await async_client.aforce_login(ann)

    answer: Any = await async_client.get(f"/jobs/{run.pk}/results/a.txt/")
    blocks = [block async for block in answer]

    assert b"".join(blocks) == content
    assert len(blocks) == 4
