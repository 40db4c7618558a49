"""What every test shares: its database, its marks and the closing words."""

import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest
import pytest_django
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.operations import BaseDatabaseOperations
from django.test import TransactionTestCase

from errands.sidecar import sidecar
from tests.servers.pgbouncer import PgBouncer

TESTS = Path(__file__).parent
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
MARKS = {
    "browser": "browser",
    "demo": "integration",
    "integration": "integration",
    "servers": "integration",
    "torture": "torture",
}
SERVERS = {"chromium", "mysql", "postgresql"}
# Not from a database that others use too: without a test that needs one, none is made.
DISCONNECT_OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND datname LIKE 'test%' "
    "AND pid <> pg_backend_pid()"
)
LARGE = {'"errands_task"', '"errands_result"'}
LEFT_OUT = set(filter(None, os.environ.get("ERRANDS_TEST_WITHOUT", "").split(",")))

# How long an example takes says something about the machine only.
hypothesis.settings.register_profile("errands", deadline=None)
hypothesis.settings.load_profile("errands")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to leave out what there is not; make the directory of this run.

    And hear Ctrl-C, which a shell makes its background processes ignore.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if unknown := ", ".join(LEFT_OUT - SERVERS):
        known = ", ".join(sorted(SERVERS))
        raise pytest.UsageError(f"ERRANDS_TEST_WITHOUT names {unknown}. Known: {known}.")
    if not settings.DIRECTORY.exists():
        settings.DIRECTORY.mkdir()
        config.add_cleanup(partial(shutil.rmtree, settings.DIRECTORY))


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[None]:
    """Tell the processes that tests start which database is the test's."""
    os.environ["ERRANDS_TEST_DATABASE_NAME"] = str(connection.settings_dict["NAME"])

    yield

    # PostgreSQL drops no database that somebody is connected to: our sidecar,
    # and the threads in which async tests ran their queries.
    sidecar().close()
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(DISCONNECT_OTHERS)
        # After Playwright's event loop it is not the one Django will close.
        connection.close()


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empty PostgreSQL's tables in a tenth of the time, after each test.

    ``TRUNCATE`` makes new files for every table and index, which pays for those
    only that have held thousands of rows.
    """
    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(type(connection.ops), "sql_flush", _flush)
        yield


def _flush(
    operations: BaseDatabaseOperations,
    style: object,
    tables: Sequence[str],
    **options: bool,
) -> list[str]:
    return [
        f"{'TRUNCATE' if table in LARGE else 'DELETE FROM'} {table}"
        for table in map(operations.quote_name, tables)
    ]


@pytest.fixture
def alias_of(
    django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[Callable[[dict], str]]:
    """Return a function that gives a database an alias, until the test is over."""
    added = []

    def add(database: dict[str, object]) -> str:
        alias = f"another-{uuid4().hex}"
        connections.settings[alias] = connections.settings["default"] | {
            "OPTIONS": {},
            **database,
        }
        added.append(alias)
        return alias

    with django_db_blocker.unblock():
        yield add

    for alias in added:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


@pytest.fixture
def pgbouncer() -> Iterator[Callable[[str], PgBouncer]]:
    """Return a function that starts one in a pool mode, until the test is over."""
    started = []

    def start(pool_mode: str) -> PgBouncer:
        started.append(PgBouncer(pool_mode))
        started[-1].start()
        return started[-1]

    yield start

    for each in started:
        each.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark tests by what they use, and take out what is to be left out."""
    for item in items:
        for directory, mark in MARKS.items():
            if TESTS / directory in item.path.parents:
                item.add_marker(mark)
        if _uses_the_database(item):
            item.add_marker("database")
    if "chromium" in LEFT_OUT:
        left_out = [item for item in items if item.get_closest_marker("browser")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what hostile tests have logged through to the process that reports."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode())
        for name, text in report.sections
    ]
    return report


def pytest_report_header(config: pytest.Config) -> str:
    """Name the database at the top."""
    place = connection.settings_dict["HOST"] or connection.settings_dict["NAME"]
    return f"database: {connection.vendor} at {place}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what ERRANDS_TEST_WITHOUT kept from being tested."""
    for missing in sorted(LEFT_OUT):
        terminalreporter.section(f"NOT TESTED: {missing}", sep="!", red=True, bold=True)


def _uses_the_database(item: pytest.Item) -> bool:
    cls = getattr(item, "cls", None)
    return (
        item.get_closest_marker("django_db") is not None
        or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))
        or (cls is not None and issubclass(cls, TransactionTestCase))
    )
