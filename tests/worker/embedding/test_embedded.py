"""What ``with_worker`` makes of an application."""

import asyncio
import sys
from types import SimpleNamespace

import pytest
from django.core.asgi import ASGIHandler
from django.db import connection

from errands.worker.embedding import embedded
from errands.worker.embedding.embedded import (
    EmbeddedWorker,
    WithWorkerASGI,
    WithWorkerWSGI,
    with_worker,
)
from errands.worker.misconfigured import WorkerBroken
from errands.worker.options import WorkerOptions

EVENTS = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def asgi(scope, receive, send):
    await send({"type": "answered", "scope": scope})


class AsgiObject:
    async def __call__(self, scope, receive, send):
        pass


def wsgi(environ, start_response):
    return [b"answered"]


class RememberingWorker:
    """Remembers what it was told, and starts nothing."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.error: Exception | None = None
        self.is_asleep = True

    def start(self, options):
        if self.error:
            raise self.error
        self.told.append(f"start {options.threads}")
        self.is_asleep = False

    def stop(self):
        self.told.append("stop")


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> RememberingWorker:
    worker = RememberingWorker()
    monkeypatch.setattr(embedded, "worker", worker)
    return worker


def exchange(application, scope, *messages):
    """Call an application once; return what it sent."""
    waiting, sent = list(messages), []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("application", "kind"),
    [(asgi, WithWorkerASGI), (AsgiObject(), WithWorkerASGI), (wsgi, WithWorkerWSGI)],
    ids=["ASGI function", "ASGI object", "WSGI function"],
)
def test_the_kind_of_application_is_recognised(application, kind):
    assert isinstance(with_worker(application), kind)


def test_what_is_no_application_is_refused_where_it_is_wrapped():
    with pytest.raises(TypeError) as refused:
        with_worker("shop.wsgi")

    assert str(refused.value) == (
        "with_worker() got 'shop.wsgi'; it takes an application, such as "
        "get_asgi_application()."
    )


def test_a_hook_is_told_of_its_own_call():
    with pytest.raises(TypeError, match=r"start_worker\(\) has no option 'thread'\."):
        embedded.start_worker(thread=2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"process": 2}, TypeError, "with_worker() has no option 'process'. Known: "),
        ({"burst": True}, TypeError, "with_worker() has no option 'burst'. Known: "),
        ({"threads": 0}, ValueError, "threads is 0; it takes 1 to 1,000."),
        ({"threads": "2"}, TypeError, "threads is '2'; it takes a whole number."),
        (
            {"backend": "nope"},
            ValueError,
            "backend is 'nope', which TASKS has not. Known: default, ",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_site_is_loaded(options, error, message):
    with pytest.raises(error) as raised:
        with_worker(wsgi, **options)

    assert str(raised.value).startswith(message)


def test_the_worker_lives_as_long_as_the_server_says(remembering: RememberingWorker):
    application = with_worker(asgi, threads=3)

    sent = exchange(application, {"type": "lifespan"}, *EVENTS)

    assert remembering.told == ["start 3", "stop"]
    assert [message["type"] for message in sent] == COMPLETE


def test_a_worker_that_cannot_start_is_told_to_the_server(
    remembering: RememberingWorker,
):
    remembering.error = ValueError("no such backend")

    sent = exchange(
        with_worker(asgi),
        {"type": "lifespan"},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    )

    assert sent[0] == {"type": "lifespan.startup.failed", "message": "no such backend"}


def living(told, *, fails=False):
    """Return an application that lives as the server does, and tells of it."""

    async def application(scope, receive, send):
        assert (await receive())["type"] == "lifespan.startup"
        told.append("application starts")
        if fails:
            await send({"type": "lifespan.startup.failed", "message": "no cache"})
            raise RuntimeError("no cache")
        scope["state"]["cache"] = "warm"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        told.append("application stops")
        await send({"type": "lifespan.shutdown.complete"})

    return application


def test_an_application_with_a_lifespan_starts_before_the_worker_and_stops_after_it(
    remembering: RememberingWorker,
):
    scope = {"type": "lifespan", "state": {}}

    sent = exchange(with_worker(living(remembering.told), threads=3), scope, *EVENTS)

    assert remembering.told == [
        "application starts",
        "start 3",
        "stop",
        "application stops",
    ]
    assert [message["type"] for message in sent] == COMPLETE
    assert scope["state"] == {"cache": "warm"}


def test_an_application_that_cannot_start_has_no_worker(remembering: RememberingWorker):
    application = with_worker(living(remembering.told, fails=True))
    waiting, sent = [*EVENTS], []

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    with pytest.raises(RuntimeError, match="no cache"):
        asyncio.run(application({"type": "lifespan"}, receive, send))

    assert sent == [{"type": "lifespan.startup.failed", "message": "no cache"}]
    assert remembering.told == ["application starts"]


def test_an_application_whose_worker_cannot_start_cleans_up(
    remembering: RememberingWorker,
):
    remembering.error = ValueError("no such backend")
    scope = {"type": "lifespan", "state": {}}

    sent = exchange(with_worker(living(remembering.told)), scope, EVENTS[0])

    assert sent == [{"type": "lifespan.startup.failed", "message": "no such backend"}]
    assert remembering.told == ["application starts", "application stops"]


@pytest.mark.parametrize("reads", [0, 1])
def test_django_which_knows_no_lifespan_has_its_worker_all_the_same(
    remembering: RememberingWorker, reads: int
):
    django = ASGIHandler()

    async def reading(scope, receive, send):
        for _ in range(reads):
            await receive()
        await django(scope, receive, send)

    sent = exchange(with_worker(reading, threads=3), {"type": "lifespan"}, *EVENTS)

    assert remembering.told == ["start 3", "stop"]
    assert [message["type"] for message in sent] == COMPLETE


def test_what_a_worker_refuses_to_begin_with_is_refused(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    worker = EmbeddedWorker()

    with pytest.raises(WorkerBroken, match=r"errands\.E006"):
        worker.start(WorkerOptions())

    assert worker.is_asleep


def test_the_first_request_starts_it_where_nobody_told_of_a_lifespan(
    remembering: RememberingWorker,
):
    application = with_worker(asgi, threads=2)

    sent = [exchange(application, {"type": "http"}) for _ in range(2)]

    assert remembering.told == ["start 2"]
    assert sent[0] == [{"type": "answered", "scope": {"type": "http"}}]


def test_a_request_of_wsgi_starts_it_too(remembering: RememberingWorker):
    application = with_worker(wsgi, threads=2)

    assert application({}, SimpleNamespace()) == [b"answered"]
    assert remembering.told == ["start 2"]


def test_runserver_has_its_worker_as_a_child_and_none_inside(
    monkeypatch: pytest.MonkeyPatch, settings
):
    monkeypatch.setattr(sys, "argv", ["manage.py", "runserver", "--noreload"])
    worker = EmbeddedWorker()

    assert not worker.is_asleep
    settings.ERRANDS = {"RUNSERVER_WORKER": False}
    assert worker.is_asleep


def test_stopping_a_worker_that_never_started_is_nothing():
    EmbeddedWorker().stop()
