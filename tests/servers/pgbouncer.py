"""A pgbouncer before the PostgreSQL of the test run."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.servers import postgresql
from tests.servers.debian import program

SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {pool_mode}
logfile = {directory}/log
"""


class NoPgBouncer(Exception):
    """It is not installed."""


class PgBouncer:
    """A pooler on a port of its own; its directory and it end with ``stop``."""

    def __init__(self, pool_mode: str) -> None:
        found = program("pgbouncer", package="pgbouncer")
        if found is None:
            raise NoPgBouncer("pgbouncer is not installed, and could not be")
        self._program = found
        self._pool_mode = pool_mode
        self._directory = Path(tempfile.mkdtemp(prefix="errands-pgbouncer-"))
        self._port = _free_port()
        # It refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None

    def start(self) -> None:
        """Return when it answers."""
        server = conninfo_to_dict(postgresql.url())
        settings = self._directory / "pgbouncer.ini"
        settings.write_text(
            SETTINGS.format(
                host=server.get("host") or "127.0.0.1",
                port=server.get("port") or 5432,
                user=server.get("user") or "postgres",
                listen_port=self._port,
                pool_mode=self._pool_mode,
                directory=self._directory,
            )
        )
        if self._user:
            shutil.chown(self._directory, self._user)
        self._process = subprocess.Popen(
            [self._program, "-q", settings],
            user=self._user,
            stderr=subprocess.DEVNULL,
        )
        while not self._answers():
            if self._process.poll() is not None:
                raise NoPgBouncer((self._directory / "log").read_text())

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def database(self, name: str) -> dict[str, object]:
        """Return the ``DATABASES`` entry of one database behind it."""
        through = {"HOST": "127.0.0.1", "PORT": str(self._port)}
        return postgresql.database(name) | through

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(postgresql.url(), host="127.0.0.1", port=self._port).close()
            return True
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
