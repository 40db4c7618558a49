"""The database of a soak: its own, in a temporary directory, so it can be broken."""

import os
import random
from contextlib import suppress
from pathlib import Path

import psycopg
import pymysql
from pymysql.cursors import Cursor

from tests.servers import mysql
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


class MariaDB:
    """A server that keeps what it has acknowledged through any restart."""

    can_restart = True

    def __init__(self, directory: Path) -> None:
        # What a commit has written is the system's then, which is never killed.
        self._server = mysql.OwnServer("--innodb-flush-log-at-trx-commit=2")
        self._server.start()
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE soak CHARACTER SET utf8mb4")
        os.environ["ERRANDS_TEST_DATABASE"] = "mysql"
        os.environ["ERRANDS_TEST_DATABASE_NAME"] = "soak"
        os.environ[mysql.VARIABLE] = self._server.url

    def restart(self, mode: str) -> None:
        """Stop it, ``fast`` or ``immediate`` (a SIGKILL), and start it again."""
        self._server.restart(orderly=mode == "fast")

    def disconnect(self, chance: random.Random) -> int:
        """Terminate about half of the connections; return how many."""
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist "
                "WHERE user = 'root' AND id <> connection_id()"
            )
            chosen = [row[0] for row in cursor.fetchall() if chance.random() < 0.5]
            for number in chosen:
                with suppress(pymysql.MySQLError):
                    cursor.execute("KILL %s", [number])
        return len(chosen)

    def stop(self) -> None:
        """End it and delete what it had."""
        self._server.stop()

    def _connected(self) -> "pymysql.Connection[Cursor]":
        return mysql.connect(self._server.url)


SERVERS = {"sqlite": SQLite, "postgresql": PostgreSQL, "mysql": MariaDB}
