"""The reference: bare psycopg, two statements, no framework.

Claims 100 with ``SKIP LOCKED``, calls the function a hundred times, marks the
hundred as done. Nothing is retried, logged, signalled or rescued.
"""

from typing import ClassVar

import psycopg

from bench.peers.peer import Peer, python
from bench.ticks import tick

BATCH = 100

TABLE = """
CREATE TABLE raw_task (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state smallint NOT NULL DEFAULT 0,
    payload text NOT NULL
);
CREATE INDEX raw_task_ready ON raw_task (id) WHERE state = 0;
CREATE INDEX raw_task_open ON raw_task (id) WHERE state < 2;
"""
INSERT = "INSERT INTO raw_task (payload) VALUES (%s)"
COPY = "COPY raw_task (payload) FROM STDIN"
CLAIM = """
UPDATE raw_task SET state = 1 WHERE id IN (
    SELECT id FROM raw_task WHERE state = 0
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id, payload
"""
SETTLE = "UPDATE raw_task SET state = 2 WHERE id = ANY(%s)"
PAYLOAD = '{"args":[],"kwargs":{}}'


class Raw(Peer):
    """INSERT and commit; COPY; claim and settle by hundreds."""

    name = "raw psycopg"
    drained = 60_000
    is_quick = True
    engines = ("postgresql",)
    fair: ClassVar = (
        "no framework: INSERT + commit, COPY, claims 100 with SKIP LOCKED and marks "
        "100 as done; nothing is retried or rescued; polls every 100 ms"
    )

    def prepare(self) -> None:
        """Connect, and make the table."""
        self._connection = psycopg.connect(self.place.url, autocommit=True)
        self._connection.execute(TABLE)

    def enqueue_each(self, number: int) -> None:
        """INSERT, each with its commit."""
        for _ in range(number):
            self._connection.execute(INSERT, [PAYLOAD])

    def enqueue_many(self, number: int) -> None:
        """COPY."""
        with self._connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for _ in range(number):
                copy.write_row([PAYLOAD])

    def unfinished(self) -> int:
        """Count rows that are not done."""
        count = "SELECT count(*) FROM raw_task WHERE state < 2"
        row = self._connection.execute(count).fetchone()
        return int(row[0]) if row else 0

    def clear(self) -> None:
        """Truncate."""
        self._connection.execute("TRUNCATE raw_task")

    def workers(self, processes: int) -> list[list[str]]:
        """One process per command."""
        return [python("-m", "bench.peers.raw", self.place.url)] * processes


def work(url: str) -> None:
    """Claim, call and settle for ever."""
    import time

    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            claimed = connection.execute(CLAIM, [BATCH]).fetchall()
            for _ in claimed:
                tick()
            if claimed:
                connection.execute(SETTLE, [[row[0] for row in claimed]])
            else:
                time.sleep(0.1)


if __name__ == "__main__":
    import sys

    work(sys.argv[1])
