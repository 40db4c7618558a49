"""Peers that are Django apps: tables from migrations, counts from SQL."""

from collections.abc import Callable
from typing import Any, ClassVar

from bench.peers.peer import Peer

PERSISTENT = "persistent connections; logs from WARNING up"


class DjangoPeer(Peer):
    """A queue inside a Django site that has nothing else.

    On SQLite every site has WAL, immediate transactions and 20 s of patience.
    """

    tables: ClassVar[tuple[str, ...]]
    """Where its tasks and what it remembers of them are."""
    open_tasks: ClassVar[str]
    """The SELECT that counts tasks that have not ended."""

    def prepare(self) -> None:
        """Find the task."""
        from bench.tasks import nothing

        self.nothing: Any = nothing

    def enqueue_each(self, number: int) -> None:
        """Call ``enqueue``."""
        enqueue: Callable[[], object] = self.nothing.enqueue
        for _ in range(number):
            enqueue()

    def unfinished(self) -> int:
        """Count by SQL."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(self.open_tasks)
            return int(cursor.fetchone()[0])

    def clear(self) -> None:
        """Empty the tables."""
        from django.core.management.color import no_style
        from django.db import connection

        tables = list(self.tables)
        flush = connection.ops.sql_flush(no_style(), tables, allow_cascade=True)
        connection.ops.execute_sql_flush(flush)


def calls(number: int) -> list[tuple[tuple[()], dict[str, Any]]]:
    """Return so many calls without arguments."""
    return [((), {})] * number
