"""A worker inside the process that serves a small site.

::

    application = with_worker(get_asgi_application())     # asgi.py
    application = with_worker(get_wsgi_application())     # wsgi.py

::

    asleep ──lifespan.startup, or the first request──► at work
       ▲                                                  │
       │                       lifespan.shutdown, or the end of the process
       └── fork: the child is asleep whatever we do       ▼
                                        tasks finish, or are given back

One per process, whatever is wrapped how often. The threads are those of a
worker process, without what a supervisor does for it. So there is no hard
timeout, no recycling and no quarantine: a suspect that a real worker has left
behind runs when nothing else does, and a task that ends its process ends the
one that serves. Then the next process on this host, or after the lease any
other, takes back what it held.

Nothing of the process is changed: no signal handler, no setting. Where the
site keeps connections only as long as a request (``CONN_MAX_AGE = 0``), each
attempt opens its own.
"""

import asyncio
import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, overload
from uuid import uuid4

from django.conf import settings as django_settings

from errands.conf import settings
from errands.tasks.registry import registry
from errands.worker.embedding.lifespan import (
    STARTED,
    STARTUP,
    ASGIApplication,
    Lifespan,
    Message,
    Receive,
    Scope,
    Send,
)
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop

logger = logging.getLogger("errands.worker")

type WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

PATIENCE_SECONDS = 10.0


class EmbeddedWorker:
    """The worker of this process: asleep until somebody starts it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Sleep; after a fork, where the threads have stayed in the parent."""
        self._lock = threading.Lock()
        self._stop: Stop | None = None
        self._thread: threading.Thread | None = None
        self._grace = 0.0

    @property
    def is_asleep(self) -> bool:
        """Whether starting it would do something."""
        return self._thread is None and not has_worker_of_runserver()

    def start(self, options: WorkerOptions) -> None:
        """Begin to claim, in threads of this process; a second time is nothing.

        Nothing happens where ``runserver`` has started a worker as its child.
        ``WorkerBroken`` for errors that the backend's system checks find.
        """
        # Asked for by every request: the usual answer needs no lock.
        if not self.is_asleep:
            return
        with self._lock:
            if self._thread is None:
                self._begin(options)

    def _begin(self, options: WorkerOptions) -> None:
        # They refer to models: asgi.py imports us before the site is set up.
        from errands.queue.store import Store
        from errands.worker.crew import Crew
        from errands.worker.misconfigured import refuse_what_is_misconfigured

        refuse_what_is_misconfigured(Store(options.backend))
        registry.load()
        self._stop, self._grace = Stop(options.grace), options.grace
        slots = Slots.private(places=options.places)
        slots.identify(uuid4())
        crew = Crew(options, self._stop, slots)
        # A daemon, as all of its threads: only `stop` decides how long to wait.
        thread = threading.Thread(
            target=_work, args=[crew.work], name="errands-courier", daemon=True
        )
        thread.start()
        self._thread = thread
        logger.info("worker started in process %d, with the site", os.getpid())

    def stop(self) -> None:
        """Finish what runs within the grace, give back the rest; wait for that."""
        thread, stop = self._thread, self._stop
        if thread is None or stop is None or not thread.is_alive():
            return
        stop.request()
        thread.join(self._grace + PATIENCE_SECONDS)


def _register_atexit(stop: Callable[[], None]) -> None:
    """Stop before the interpreter closes its pools of threads.

    Without them no coroutine can end its attempt, and it would have failed. These
    hooks are called last to first, so the module that closes the pools comes first.
    """
    import_module("concurrent.futures.thread")
    register = getattr(threading, "_register_atexit", atexit.register)
    register(stop)


def _work(work: Callable[[], bool]) -> None:
    try:
        work()
    except Exception:
        pid = os.getpid()
        logger.exception("the worker of process %d broke; others take over", pid)


worker = EmbeddedWorker()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=worker.forget)
_register_atexit(worker.stop)


def has_worker_of_runserver() -> bool:
    """Return whether this process serves as ``runserver``, which has a worker."""
    from errands.worker.embedding.development import serves

    return serves(sys.argv, os.environ) and settings().runserver_worker


def start_worker(**options: Any) -> None:
    """Start the worker of this process, if it has none yet.

    For hooks of servers, such as gunicorn's ``post_worker_init``, so that a
    process works before its first request. ``options`` as for ``with_worker``.
    """
    worker.start(embedded_options(options, asked_by="start_worker"))


def embedded_options(told: Mapping[str, Any], *, asked_by: str) -> WorkerOptions:
    """Return the worker's options; only those that mean something here."""
    for name in told:
        if name not in EMBEDDED:
            raise TypeError(
                f"{asked_by}() has no option {name!r}. Known: {', '.join(EMBEDDED)}."
            )
    options = WorkerOptions(**told)
    _refuse_unknown_backend(options.backend)
    return options


def _refuse_unknown_backend(alias: str) -> None:
    """Raise where it is written, if the settings are loaded there.

    Whether that backend keeps tasks shows when the worker starts: ``runserver``
    starts none here, and a site may be developed without a queue.
    """
    known = getattr(django_settings, "TASKS", {}) if django_settings.configured else {}
    if known and alias not in known:
        raise ValueError(
            f"backend is {alias!r}, which TASKS has not. Known: {', '.join(known)}."
        )


EMBEDDED = (
    "backend",
    "queues",
    "min_priority",
    "max_priority",
    "threads",
    "coroutines",
    "grace",
    "name",
)


class WithWorkerASGI:
    """An ASGI application whose process also runs tasks."""

    def __init__(self, application: ASGIApplication, options: WorkerOptions) -> None:
        self._application = application
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Work as long as the server lives, else from the first request on."""
        if scope["type"] == "lifespan":
            lifespan = Lifespan(receive, send, begin=self._begin, end=self._end)
            await lifespan.live(self._application, scope)
            return
        if worker.is_asleep:
            await asyncio.to_thread(worker.start, self._options)
        await self._application(scope, receive, send)

    async def _begin(self) -> Message:
        try:
            await asyncio.to_thread(worker.start, self._options)
        except Exception as error:
            logger.exception("the worker could not be started")
            return {"type": f"{STARTUP}.failed", "message": str(error)}
        return {"type": STARTED}

    async def _end(self) -> None:
        await asyncio.to_thread(worker.stop)


class WithWorkerWSGI:
    """A WSGI application whose process also runs tasks."""

    def __init__(self, application: WSGIApplication, options: WorkerOptions) -> None:
        self._application = application
        self._options = options

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Start the worker with the first request, and serve."""
        worker.start(self._options)
        return self._application(environ, start_response)


@overload
def with_worker(application: ASGIApplication, **options: Any) -> WithWorkerASGI: ...
@overload
def with_worker(application: WSGIApplication, **options: Any) -> WithWorkerWSGI: ...
def with_worker(application: Any, **options: Any) -> WithWorkerASGI | WithWorkerWSGI:
    """Return the application, whose process from now on runs tasks too.

    Takes the options of ``manage.py worker`` that mean something here:
    ``backend``, ``queues``, ``min_priority``, ``max_priority``, ``threads``,
    ``coroutines``, ``grace`` and ``name``. With ASGI the worker starts and
    stops with the server's lifespan events; where the server sends none, and
    with WSGI, it starts with the first request and stops when the process
    ends. An application that knows lifespan events gets them too: it starts
    before the worker, and stops after it.
    """
    if not callable(application):
        raise TypeError(
            f"with_worker() got {application!r}; it takes an application, such as "
            "get_asgi_application()."
        )
    told = embedded_options(options, asked_by="with_worker")
    is_asgi = any(map(iscoroutinefunction, (application, type(application).__call__)))
    kind = WithWorkerASGI if is_asgi else WithWorkerWSGI
    return kind(application, told)
