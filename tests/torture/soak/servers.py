"""The database of a soak: its own, in a temporary directory, so it can be broken."""

import os
import random
from pathlib import Path

import psycopg

from tests.servers.postgresql import OwnServer

# Processes are killed here, never the system: what the system has is safe.
SAFE = "-c synchronous_commit=on -c full_page_writes=on -c fsync=off"


class SQLite:
    """A file. Nothing of it can be restarted."""

    can_restart = False

    def __init__(self, directory: Path) -> None:
        os.environ["ERRANDS_TEST_DATABASE"] = "sqlite"
        os.environ["ERRANDS_TEST_DATABASE_NAME"] = str(directory / "soak.sqlite3")

    def disconnect(self, chance: random.Random) -> int:
        """Break no connection: there is none."""
        return 0

    def stop(self) -> None:
        """Leave the file to whoever deletes the directory."""


class PostgreSQL:
    """A server that keeps what it has acknowledged through any restart."""

    can_restart = True

    def __init__(self, directory: Path) -> None:
        self._server = OwnServer()
        self._server.start()
        self.restart("fast")
        os.environ["ERRANDS_TEST_DATABASE"] = "postgresql"
        os.environ["ERRANDS_TEST_DATABASE_NAME"] = "postgres"
        os.environ["ERRANDS_TEST_POSTGRES"] = self._server.url

    def restart(self, mode: str) -> None:
        """Stop it, ``fast`` or ``immediate`` (as a crash), and start it again."""
        here = self._server.directory
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{here}' "
            f"-c max_connections=200 {SAFE}"
        )
        arguments = ("-D", here / "data", "-l", here / "log", "-o", options)
        self._server._run("pg_ctl", "restart", "-w", "-m", mode, *arguments)

    def disconnect(self, chance: random.Random) -> int:
        """Terminate about half of the connections; return how many."""
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            ).fetchall()
            chosen = [pid for (pid,) in rows if chance.random() < 0.5]
            connection.execute(
                "SELECT pg_terminate_backend(u) FROM unnest(%s) u", [chosen]
            )
        return len(chosen)

    def stop(self) -> None:
        """End it and delete what it had."""
        self._server.stop()


SERVERS = {"sqlite": SQLite, "postgresql": PostgreSQL}
