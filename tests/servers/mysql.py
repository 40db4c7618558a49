"""The MariaDB or MySQL server of a test run.

A server that runs already is used: the one ERRANDS_TEST_MYSQL names by its URL,
or one on this machine, port 3306, that lets root in without a password. Where
there is none, one is started from Debian's mariadb-server, which
tools/debian-install installs if need be, in a temporary directory, reachable
by a Unix socket in there only, and stopped and deleted when the process ends.
ERRANDS_TEST_MYSQL=own starts one even where another runs.

Whoever asks first writes the URL to ERRANDS_TEST_MYSQL, so that every process
a test starts uses the same server. A test run that is killed by SIGKILL leaves
its own server and directory behind.
"""

import atexit
import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
from pymysql.cursors import Cursor

from tests.servers.debian import program

VARIABLE = "ERRANDS_TEST_MYSQL"
OWN = "own"
USUAL = "mysql://root@127.0.0.1:3306"
REMEDY = (
    f"Start one and name it in {VARIABLE}, as mysql://user:password@host:3306; "
    "or leave these tests out with ERRANDS_TEST_WITHOUT=mysql."
)
START_SECONDS = 60
SPEED_BEFORE_SAFETY = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--skip-log-bin",
    "--performance-schema=0",
)


class NoMySQL(Exception):
    """No server runs here and none can be started."""


class OwnServer:
    """A MariaDB that lives in a temporary directory as long as we do.

    With ``settings`` that say so, it keeps what it has acknowledged.
    """

    def __init__(self, *settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="errands-mariadb-"))
        user = f"--user={getpass.getuser()}"
        paths = (f"--datadir={self.directory}/data", f"--tmpdir={self.directory}")
        self._where = ("--no-defaults", user, *paths)
        self._settings = (*SPEED_BEFORE_SAFETY, *settings)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its superuser reaches it."""
        return f"mysql://root@localhost?socket={self.directory}/socket"

    @property
    def has_ended(self) -> bool:
        """Whether no server runs, or not any more."""
        return self._server is None or self._server.poll() is not None

    def start(self) -> None:
        """Make the tables and return when it answers, after about 5 s."""
        # The server first: it brings the other program with it.
        _program("mariadbd")
        log = self.directory / "log"
        with log.open("ab") as output:
            install = [_program("mariadb-install-db"), *self._where,
                       "--auth-root-authentication-method=normal",
                       "--skip-test-db"]  # fmt: skip
            if subprocess.call(install, stdout=output, stderr=output):
                raise NoMySQL(f"mariadb-install-db failed:\n{log.read_text()}")
        self._launch(log)

    def restart(self, *, orderly: bool) -> None:
        """End it in good order or by SIGKILL, and return when it answers again."""
        assert self._server is not None
        self._server.send_signal(signal.SIGTERM if orderly else signal.SIGKILL)
        self._server.wait()
        self._launch(self.directory / "log")

    def stop(self) -> None:
        """End the server and delete all it had."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _launch(self, log: Path) -> None:
        with log.open("ab") as output:
            # A process group of its own: Ctrl-C is for the tests.
            self._server = subprocess.Popen(
                [_program("mariadbd"), *self._where, *self._settings,
                 f"--socket={self.directory}/socket", "--skip-networking",
                 "--max-connections=300"],
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._wait(log)

    def _wait(self, log: Path) -> None:
        until = time.monotonic() + START_SECONDS
        while not _answers(self.url):
            if self.has_ended or time.monotonic() > until:
                raise NoMySQL(f"mariadbd does not answer:\n{log.read_text()}")
            time.sleep(0.05)


def url() -> str:
    """Return the URL of the server of this run; start one if need be.

    Raises ``NoMySQL``, naming the remedy, when there is none to be had.
    """
    named = os.environ.get(VARIABLE, "")
    if named not in ("", OWN):
        return named
    is_usual = named != OWN and _answers(USUAL)
    os.environ[VARIABLE] = USUAL if is_usual else _start_own()
    return os.environ[VARIABLE]


def database(name: str) -> dict[str, object]:
    """Return the ``DATABASES`` entry of one database on the server of this run."""
    return {"ENGINE": "django.db.backends.mysql", "NAME": name, **_account(url())}


def connect(address: str = "") -> "pymysql.Connection[Cursor]":
    """Connect to the server at an address, or to that of this run."""
    account = _account(address or url())
    is_socket = account["HOST"].startswith("/")
    return pymysql.connect(
        unix_socket=account["HOST"] if is_socket else None,
        host=None if is_socket else account["HOST"],
        port=int(account["PORT"] or 3306),
        user=account["USER"],
        password=account["PASSWORD"],
        connect_timeout=2,
        autocommit=True,
    )


def _account(address: str) -> dict[str, str]:
    parts = urlsplit(address)
    socket = parse_qs(parts.query).get("socket", [""])[0]
    return {
        "HOST": socket or parts.hostname or "",
        "PORT": "" if socket else str(parts.port or ""),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
    }


def _answers(address: str) -> bool:
    host = _account(address)["HOST"]
    if host.startswith("/") and not Path(host).exists():
        return False
    try:
        connect(address).close()
    except pymysql.MySQLError:
        return False
    return True


def _program(name: str) -> str:
    found = program(name, package="mariadb-server")
    if found is None:
        raise NoMySQL(f"{name} is not installed")
    return found


def _start_own() -> str:
    server = OwnServer()
    atexit.register(server.stop)
    try:
        server.start()
    except (NoMySQL, OSError) as error:
        message = f"There is no MariaDB for the tests: {error}\n{REMEDY}"
        raise NoMySQL(message) from error
    return server.url
