"""A server's lifespan, as an application and the worker beside it live it.

::

    startup ──► application: complete ──► the worker starts ──► server: complete
                application: failed ──────────────────────────► server: failed
    shutdown ─► the worker stops ───────► application: complete ─► server: complete

An application that knows no such events, Django's own among them, raises or
returns without an answer. Then the worker lives it alone. One that has
answered and then raises has its exception passed on.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

STARTUP, SHUTDOWN = "lifespan.startup", "lifespan.shutdown"
STARTED, STOPPED = f"{STARTUP}.complete", f"{SHUTDOWN}.complete"

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


class Lifespan:
    """One lifespan; ``begin`` answers a startup, ``end`` precedes a shutdown."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        begin: Callable[[], Awaitable[Message]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._receive, self._send = receive, send
        self._begin, self._end = begin, end
        self._is_asked = False
        self._is_answered = False
        self._has_failed = False

    async def live(self, application: ASGIApplication, scope: Scope) -> None:
        """Live it with the application, without it where that knows none."""
        try:
            await application(scope, self._receive_for_application, self._pass_on)
        except Exception:
            if self._is_answered:
                raise
        if not self._is_answered:
            await self._live_alone()

    async def _receive_for_application(self) -> Message:
        if self._has_failed:
            # It had started before the worker failed, and has to clean up.
            return {"type": SHUTDOWN}
        message = await self._receive()
        self._is_asked |= message["type"] == STARTUP
        if message["type"] == SHUTDOWN:
            await self._end()
        return message

    async def _pass_on(self, message: Message) -> None:
        kind = message["type"]
        if not kind.startswith("lifespan."):
            raise ValueError(f"{kind!r} is no answer to a lifespan event.")
        self._is_answered = True
        if self._has_failed:
            return
        if kind == STARTED:
            message = await self._begin()
            self._has_failed = message["type"] != STARTED
        await self._send(message)

    async def _live_alone(self) -> None:
        if not self._is_asked:
            await self._receive()
        await self._send(await self._begin())
        await self._receive()
        await self._end()
        await self._send({"type": STOPPED})
