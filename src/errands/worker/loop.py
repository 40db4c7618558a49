"""The event loop that awaits the async tasks of one process.

An executor that takes an async task hands it over and takes the next one; so
many coroutines run besides the threads as the process has places for. Where
none is free the executor awaits the task itself, in its own place.

Each attempt is an asyncio task with the attempt's context. Asyncio tasks that
it has started and not awaited are cancelled when it has returned. Database
access of coroutines goes through ``sync_to_async``, that is, through one
thread of the process, whose connections are cleaned after each attempt.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any
from weakref import WeakSet

from errands.tasks.outcomes import Interrupted
from errands.worker.attempts import leftovers
from errands.worker.attempts.attempt import Attempt
from errands.worker.attempts.cancelling import AttemptTask
from errands.worker.attempts.making import Attempts
from errands.worker.workplace import Attempted, Workplace

logger = logging.getLogger("errands.worker")

_started: ContextVar[WeakSet["asyncio.Task[Any]"] | None] = ContextVar(
    "errands_started", default=None
)


class Loop:
    """Awaits attempts in a thread of its own, started with the first of them.

    ``begun`` is called with that thread.
    """

    def __init__(
        self,
        workplace: Workplace,
        attempts: Attempts,
        *,
        begun: Callable[[threading.Thread], object] = lambda _: None,
    ) -> None:
        self._workplace = workplace
        self._begun = begun
        self._attempts = attempts
        self._places: SimpleQueue[int] = SimpleQueue()
        options = workplace.options
        for index in range(options.coroutines):
            self._places.put(options.executors + index)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._running: set[asyncio.Task[Attempted]] = set()

    def take(self, attempt: Attempt) -> bool:
        """Await an attempt; its end goes into the outbox. False: no place is free."""
        try:
            loop = self._started_loop()
            place = self._places.get_nowait()
        except Empty:
            return False
        except RuntimeError:
            logger.exception("the system has no thread for the event loop")
            return False
        except OSError:
            # Nor for one of the executor's own: a task has left too many files open.
            logger.exception("no files are left for the event loop; this process stops")
            self._workplace.stop.request()
            self._workplace.outbox.put(attempt.ended(Interrupted()))
            return True
        workplace, claim = self._workplace, attempt.claim
        workplace.awaiting.add(claim.id)
        workplace.slots.start(place, claim.id)
        loop.call_soon_threadsafe(self._begin, loop, attempt, place)
        # The courier may claim one more.
        workplace.outbox.put(None)
        return True

    def _begin(
        self, loop: asyncio.AbstractEventLoop, attempt: Attempt, place: int
    ) -> None:
        # A task may have put a factory of its own there, which refuses ours.
        loop.set_task_factory(_remembering)
        work = self._await(attempt, place)
        running = AttemptTask(work, loop=loop, context=attempt.context)
        self._running.add(running)
        # Whatever tasks do to each other on the loop, this is called.
        running.add_done_callback(partial(self._ended, attempt, place))

    async def _await(self, attempt: Attempt, place: int) -> Attempted:
        started: WeakSet[asyncio.Task[Any]] = WeakSet()
        _started.set(started)
        attempted = await self._attempts.arun(attempt, place)
        with suppress(asyncio.CancelledError):
            await leftovers.end(started)
        return attempted

    def _ended(
        self, attempt: Attempt, place: int, running: "asyncio.Task[Attempted]"
    ) -> None:
        self._running.discard(running)
        self._places.put(place)
        self._workplace.awaiting.discard(attempt.claim.id)
        is_whole = not running.cancelled() and running.exception() is None
        self._workplace.outbox.put(
            running.result() if is_whole else attempt.ended(Interrupted())
        )

    def _started_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                loop.set_task_factory(_remembering)
                thread = threading.Thread(
                    target=self._run, args=[loop], name="errands-loop", daemon=True
                )
                thread.start()
                self._begun(thread)
                self._loop = loop
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run for ever: ``SystemExit`` and its like in an asyncio task end no loop.

        But for one whose descriptors a task has closed: it would raise for ever. Then
        this process stops, which gives back what is awaited. Asyncio lets nothing else
        of a task through: any other error is of the loop itself, as where a task has
        closed it. Then this thread ends, and as it is missed, so does the process.
        """
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
            except OSError:
                logger.exception("the event loop is broken; this process stops")
                self._workplace.stop.request()
                return
            except (SystemExit, KeyboardInterrupt):
                logger.exception("a task broke out of the event loop")
            except BaseException:
                logger.exception("the event loop is broken")
                self._workplace.outbox.put(None)
                return


def _remembering(
    loop: asyncio.AbstractEventLoop, work: Any, **options: Any
) -> "asyncio.Task[Any]":
    """Make an asyncio task, and remember to which attempt it belongs."""
    made: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    started = _started.get()
    if started is not None:
        started.add(made)
    return made
