"""LISTEN on PostgreSQL.

The connection is the listener's own, in autocommit and outside any pool. That
a notification sent over the alias arrives is proved before it is relied on:
behind a pooler in transaction mode LISTEN succeeds and nothing ever comes.
"""

import time
from selectors import EVENT_READ, DefaultSelector
from typing import Any
from uuid import uuid4

from django.db import connections

from errands.queue.committing.waking import CHANNEL, WakeUp, notify
from errands.worker.waking.bell import PAUSE_SECONDS, Bells
from errands.worker.waking.wiring import Wiring

PROOF_SECONDS = 5.0
WAIT_SECONDS = 60.0
# A peer that vanished without a word is noticed after about a minute.
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class Listening(Wiring):
    """Notifications of the channel ``errands``."""

    remedy = (
        "LISTEN needs psycopg 3 and a connection that is not shared: behind "
        "pgbouncer, pool_mode = session."
    )

    def is_sound(self) -> bool:
        """Send a notification over the alias and wait for it, 5 s at most."""
        if self._driver is None:
            return False
        proof = uuid4().hex
        try:
            notify(self._alias, proof)
        finally:
            connections[self._alias].close()
        deadline = time.monotonic() + PROOF_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if proof in self._received(left):
                return True
        return False

    def wait(self, bells: Bells) -> None:
        """Ring once for all that has come; what comes soon after waits 8 ms."""
        calls = set(self._received(WAIT_SECONDS))
        for call in calls & set(WakeUp):
            bells.ring(WakeUp(call))
        if calls:
            time.sleep(PAUSE_SECONDS)

    def __exit__(self, *error: Any) -> None:
        """Close connection and selector."""
        super().__exit__(*error)
        self._selector.close()

    def _open(self) -> None:
        settings = self._connection.settings_dict
        options = dict(settings.get("OPTIONS") or {})
        options.pop("pool", None)
        settings["OPTIONS"] = KEEPALIVE | options
        with self._connection.cursor() as cursor:
            self._connection.set_autocommit(autocommit=True)
            cursor.execute(f"LISTEN {CHANNEL}")
        # psycopg 2 has no pgconn.
        self._driver: Any = getattr(self._connection.connection, "pgconn", None)
        self._selector = DefaultSelector()
        self._selector.register(self._connection.connection, EVENT_READ)

    def _received(self, seconds: float) -> list[str]:
        """Return the payloads that have come, after waiting for the first."""
        received = []
        with self._connection.wrap_database_errors:
            if self._selector.select(seconds):
                self._driver.consume_input()
            while notification := self._driver.notifies():
                received.append(notification.extra.decode())
        return received
