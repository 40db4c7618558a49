"""A look at the table that the server repeats by itself (MariaDB).

One statement rests, looks, and rests again, and answers when the newest id is
another one, or after a second. So a process that has nothing to do asks once a
second and not thirty times. Each look is a transaction of its own: nothing is
locked, and no snapshot kept, while it rests.

A server, or what stands before it, that does not take such a statement gets
glances (``glancing``).
"""

import logging
import time

from django.db import ProgrammingError

from errands.worker.waking.glancing import NEWEST, Glancing

logger = logging.getLogger("errands.worker")

LOOK_SECONDS = 0.02
LOOKS = 50
LINGER = f"""
BEGIN NOT ATOMIC
    DECLARE pauses INT DEFAULT 0;
    DECLARE newest BIGINT;
    REPEAT
        DO SLEEP(%s);
        SET pauses = pauses + 1;
        SET newest = ({NEWEST});
    UNTIL NOT (newest <=> %s) OR pauses >= %s END REPEAT;
    SELECT newest, pauses;
END
"""


class Lingering(Glancing):
    """New rows, every 20 ms, as the server sees them."""

    between_seconds = LOOK_SECONDS
    _lingers = False

    def _open(self) -> None:
        super()._open()
        # Only the backend for MySQL has the attribute.
        self._lingers = getattr(self._connection, "mysql_is_mariadb", False)
        if self._lingers:
            with self._connection.cursor() as cursor:
                cursor.execute("SET SESSION max_statement_time = 0")

    def _next_newest(self) -> int | None:
        if not self._lingers:
            return super()._next_newest()
        try:
            return self._lingered()
        except ProgrammingError as error:
            logger.info("looking at the table from here: %s", error)
            self._lingers = False
            return self._newest

    def _lingered(self) -> int | None:
        pause = self._pause
        # A look that took long is soon taken anew: it may have been a hiccup.
        most = LOOKS if pause == LOOK_SECONDS else 1
        began = time.monotonic()
        with self._connection.cursor() as cursor:
            cursor.execute(LINGER, [pause, self._newest, most])
            newest: int | None
            newest, pauses = cursor.fetchone()
        self._took = (time.monotonic() - began - pauses * pause) / pauses
        return newest
