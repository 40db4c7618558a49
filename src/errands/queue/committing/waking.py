"""Telling workers that there is something to do, once it is committed.

::

    wake ──on commit──► bells of this process      always
                   └──► NOTIFY errands             PostgreSQL, one in 15 ms

Polling finds every task; this only makes it quick. So nothing here reaches the
caller: a wake-up that fails is logged, and where the caller commits by hand
there is none. SQLite's workers watch the file, those of MySQL ask often.

A NOTIFY takes a lock that all committers of the server share, therefore it is
sent after the commit, in a transaction of its own that waits for no disk, at
most once in 15 ms per process, alias and kind. Who is woken looks once more
25 ms later, and so finds what the swallowed ones were for.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from math import inf

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from errands import instants
from errands.queue.statements import cursor_of
from errands.queue.statements.postgresql.libpq import is_outside_transactions
from errands.queue.statements.postgresql.planned import Planned

logger = logging.getLogger("errands.queue")

CHANNEL = "errands"
NOTIFY_WITH_THE_REST = f"SELECT pg_notify('{CHANNEL}', %s)"
# Nor for a standby: a server that crashes loses its listeners as well.
NOTIFY = Planned(
    "notify", f"{NOTIFY_WITH_THE_REST}, set_config('synchronous_commit', 'off', true)"
)
DEBOUNCE_SECONDS = 0.015
LONGEST_SLEEP = timedelta(seconds=6)

type Bell = Callable[["WakeUp"], None]

_bells: dict[str, list[Bell]] = {}
_sent_at: dict[tuple[str, "WakeUp"], float] = {}


class WakeUp(StrEnum):
    """Whom it wakes: those that claim, or the upkeep with what it tends."""

    READY = "ready"
    UPKEEP = "upkeep"


def wake(connection: BaseDatabaseWrapper, call: WakeUp = WakeUp.READY) -> None:
    """Wake those who claim, once the caller's transaction has committed."""
    try:
        if connection.in_atomic_block:
            ring = partial(_ring, connection, call)
            transaction.on_commit(ring, using=connection.alias, robust=True)
        elif connection.autocommit:
            _ring(connection, call)
    except Exception:
        logger.warning("nobody could be woken", exc_info=True)


def wake_upkeep(connection: BaseDatabaseWrapper, due_at: datetime | None = None) -> None:
    """Wake the upkeep for a cancel, or for a task that is due at an instant.

    Upkeep looks every 6 s unasked; what is due later needs no call.
    """
    if due_at is None or due_at - instants.now() < LONGEST_SLEEP:
        wake(connection, WakeUp.UPKEEP)


def subscribe(alias: str, bell: Bell) -> None:
    """Ring a bell for every call in this process, as long as it lives."""
    _bells.setdefault(alias, []).append(bell)


def notify(alias: str, payload: str) -> None:
    """Send one notification over the alias's own connection."""
    connection = connections[alias]
    with cursor_of(connection) as cursor:
        is_alone = is_outside_transactions(connection)
        cursor.execute(NOTIFY if is_alone else NOTIFY_WITH_THE_REST, [payload])


def _ring(connection: BaseDatabaseWrapper, call: WakeUp) -> None:
    for bell in tuple(_bells.get(connection.alias, ())):
        bell(call)
    if connection.vendor == "postgresql":
        _notify_now_and_then(connection.alias, call)


def _notify_now_and_then(alias: str, call: WakeUp) -> None:
    now = time.monotonic()
    if now - _sent_at.get((alias, call), -inf) < DEBOUNCE_SECONDS:
        return
    _sent_at[alias, call] = now
    try:
        notify(alias, call)
    except Error:
        # What was not sent must not swallow the next one.
        _sent_at.pop((alias, call), None)
        raise
