"""What the doctor sees in databases, workers and the site."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from getpass import getuser
from io import StringIO
from uuid import uuid4

import psycopg
import pytest
from django.core.management import BaseCommand, CommandError, call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from errands.doctor import database, site, work
from errands.doctor.findings import Finding, Level, examine, ok
from errands.jobs.job import Job
from errands.queue.living import liveness
from errands.queue.models import TaskRow
from errands.queue.store import Store
from errands.sidecar import sidecar
from tests.servers import postgresql
from tests.testapp import tasks

IN_A_FILE = {"ENGINE": "django.db.backends.sqlite3", "HOST": "", "PORT": "", "USER": ""}
SERIALIZABLE = "default_transaction_isolation = 'serializable'"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_worker_of_other_tests(transactional_db: None) -> None:
    sidecar().update("DELETE FROM errands_worker")


@pytest.fixture
def postgres(alias_of) -> Iterator[Callable[..., str]]:
    """Return a function that sets levels and gives the alias of a database of its own."""
    name = f"errands_doctor_{uuid4().hex[:8]}"
    with closing(psycopg.connect(postgresql.url(), autocommit=True)) as server:
        server.execute(f"CREATE DATABASE {name}")

        def use(*alterations: str, **options: object) -> str:
            for whose in alterations:
                server.execute(f"ALTER {whose.format(name=name)} SET {SERIALIZABLE}")
            return alias_of(postgresql.database(name) | {"OPTIONS": options})

        yield use

        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def levels(findings: Iterator[Finding]) -> list[Level]:
    return [finding.level for finding in findings]


def texts(findings: Iterator[Finding]) -> str:
    return "\n".join(f"{finding.text} → {finding.remedy}" for finding in findings)


@contextmanager
def live_worker() -> Iterator[liveness.WorkerIdentity]:
    identity = liveness.WorkerIdentity.of_this_process(uuid4(), "doctors-worker")
    liveness.register("default", identity, timedelta(seconds=30))
    yield identity
    liveness.retire("default", identity.id)


@pytest.mark.parametrize(
    "examination",
    [database.migrations, database.clock, database.isolation, database.sqlite_mode],
)
def test_the_database_of_the_tests_is_healthy(examination):
    assert set(levels(examination("default"))) <= {Level.OK}


def test_postgresql_as_it_is_installed_works_in_read_committed(postgres):
    (found,) = database.isolation(postgres())

    assert found.level == Level.OK


def test_a_level_in_the_options_is_to_be_left_out_there(postgres):
    alias = postgres(isolation_level=psycopg.IsolationLevel.SERIALIZABLE)

    (found,) = database.isolation(alias)

    assert found.level == Level.ERROR
    assert found.text.startswith(f"Database {alias!r} works in SERIALIZABLE: claims")
    assert found.remedy == (
        f"Leave 'isolation_level' out of DATABASES['{alias}']['OPTIONS'], or give the "
        "queue a database alias of its own."
    )


def test_a_level_that_a_client_asks_for_is_to_be_left_out_there(postgres):
    alias = postgres(options="-c default_transaction_isolation=serializable")

    (found,) = database.isolation(alias)

    assert found.remedy == (
        f"Leave 'default_transaction_isolation' out of DATABASES['{alias}']['OPTIONS'] "
        "and out of PGOPTIONS."
    )


@pytest.mark.parametrize(
    "whose", ["DATABASE {name}", "ROLE CURRENT_USER IN DATABASE {name}"]
)
def test_a_level_of_the_database_or_its_role_is_to_be_altered_there(postgres, whose):
    alias = postgres(whose)
    called = connections[alias].settings_dict
    role = f"ROLE {called['USER'] or getuser()} IN DATABASE {called['NAME']}"

    (found,) = database.isolation(alias)

    altered = role if "ROLE" in whose else f"DATABASE {called['NAME']}"
    assert found.level == Level.ERROR
    assert found.remedy == (
        f"ALTER {altered} SET default_transaction_isolation = 'read committed'; then "
        "start web processes and workers anew."
    )


def test_a_level_of_the_database_is_found_below_another_one_in_the_options(postgres):
    committed = psycopg.IsolationLevel.READ_COMMITTED

    (found,) = database.isolation(postgres("DATABASE {name}", isolation_level=committed))

    assert found.level == Level.ERROR
    assert found.remedy.startswith("ALTER DATABASE errands_doctor_")


def test_a_server_that_takes_no_writes_is_an_error(postgres):
    alias = postgres()
    call_command("migrate", database=alias, verbosity=0)
    with connections[alias].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    (found,) = database.writing(alias)

    assert found.level == Level.ERROR
    assert found.text == (
        f"Nothing can be written to the queue in '{alias}': cannot execute DELETE in a "
        "read-only transaction"
    )
    assert "and let it be no replica" in found.remedy


@pytest.mark.parametrize("mode", ["MEMORY", "DELETE"])
def test_a_file_of_sqlite_in_another_mode_than_wal_is_an_error(alias_of, tmp_path, mode):
    options = {
        "transaction_mode": "IMMEDIATE",
        "init_command": f"PRAGMA journal_mode={mode}",
    }
    file = IN_A_FILE | {"NAME": tmp_path / "queue.sqlite3", "OPTIONS": options}

    (found,) = database.sqlite_mode(alias_of(file))

    assert found.level == Level.ERROR
    assert f"journal_mode={mode.lower()} and transaction_mode=IMMEDIATE" in found.text


def test_a_database_in_memory_is_an_error(alias_of):
    alias = alias_of(IN_A_FILE | {"NAME": ":memory:"})

    (found,) = database.sqlite_mode(alias)
    # Django closes no database that this would delete.
    connections[alias].connection.close()

    assert found.level == Level.ERROR
    assert found.remedy == f"Name a file in DATABASES['{alias}']['NAME']."


@pytest.mark.parametrize(
    ("synchronous", "level"),
    [
        ("OFF", Level.WARNING),
        ("NORMAL", Level.WARNING),
        ("FULL", Level.OK),
        ("EXTRA", Level.OK),
    ],
)
def test_sqlite_that_may_forget_its_last_commits_is_a_warning(
    alias_of, tmp_path, synchronous, level
):
    pragmas = f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}"
    options = {"transaction_mode": "IMMEDIATE", "init_command": pragmas}
    file = IN_A_FILE | {"NAME": tmp_path / "queue.sqlite3", "OPTIONS": options}

    (found,) = database.durability(alias_of(file))

    assert found.level == level
    assert f"synchronous={synchronous.lower()}" in found.text


def test_a_worker_that_lives_is_named():
    with live_worker():
        found = texts(work.workers("default"))

    assert "doctors-worker" in found


def test_without_a_worker_the_remedy_is_to_start_one():
    found = list(work.workers("default"))

    assert levels(iter(found)) == [Level.ERROR]
    assert "manage.py worker" in found[0].remedy


def test_a_queue_nobody_takes_is_named_with_how_long_it_waits():
    tasks.nothing.using(queue_name="mail").enqueue()
    TaskRow.objects.update(enqueued_at=timezone.now() - timedelta(minutes=7))

    found = texts(work.queues("default"))

    assert "Queue 'mail': the oldest of 1 ready task has waited for 7 minutes." in found


def test_a_queue_that_moves_is_not_mentioned():
    tasks.nothing.enqueue()

    assert list(work.queues("default")) == []


@pytest.mark.parametrize(
    ("name", "written"), [("my mail", "'my mail'"), ("--limit", "-- --limit")]
)
def test_the_remedy_for_a_paused_queue_is_what_a_shell_takes(name, written):
    Store("default").pause(name)

    (finding,) = work.queues("default")

    assert finding.remedy == (f"manage.py queue resume {written}, when it may go on.")


def test_a_paused_queue_is_mentioned():
    Store("default").pause("mail")

    assert "Queue 'mail' is paused, with 0 ready tasks." in texts(work.queues("default"))


def test_tasks_of_a_dead_worker_are_counted():
    tasks.nothing.enqueue()
    TaskRow.objects.update(state=2, worker=uuid4().hex)

    assert "hold 1 task on 'default'." in texts(work.stranded_tasks("default"))


def test_tasks_that_this_code_does_not_know_are_named():
    tasks.nothing.enqueue()
    TaskRow.objects.update(path="shop.tasks.renamed")

    assert "'shop.tasks.renamed'" in texts(work.unknown_tasks("default"))


def test_a_storage_that_takes_no_files_is_an_error(monkeypatch, tmp_path):
    def refuse(*args: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr(site.storages["default"], "save", refuse)

    assert "read-only" in texts(site.examined())


def test_a_storage_below_the_current_directory_is_a_warning(
    settings, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings.MEDIA_ROOT = ""

    found = list(site.examined())

    assert Level.WARNING in levels(found)
    assert (
        "Storage 'default', which keeps the results of jobs, has no absolute location: "
        "a worker started in another directory writes where no web process looks. → Set "
        "MEDIA_ROOT, or its location in STORAGES, to an absolute path."
    ) in texts(found)


def test_a_storage_that_no_job_writes_to_may_be_anywhere(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Job, "known", list)
    settings.MEDIA_ROOT = ""

    assert "no absolute location" not in texts(site.examined())


def test_a_storage_is_left_as_it_was_found(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path

    assert "takes files" in texts(site.examined())

    assert list(tmp_path.iterdir()) == []


def test_results_that_are_there_already_stay_in_the_storage(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    (tmp_path / "errands").mkdir()

    assert "takes files" in texts(site.examined())

    assert list(tmp_path.iterdir()) == [tmp_path / "errands"]
    assert list((tmp_path / "errands").iterdir()) == []


def test_a_database_that_cannot_be_reached_is_one_finding(alias_of, tmp_path):
    alias = alias_of(IN_A_FILE | {"NAME": tmp_path / "nowhere" / "db.sqlite3"})

    (found,) = examine(alias, [*database.EXAMINATIONS, *work.EXAMINATIONS])

    assert found.level == Level.ERROR
    assert found.text == (
        f"Database '{alias}' cannot be reached: unable to open database file"
    )
    assert found.remedy == (
        f"Look whether it runs, and at DATABASES['{alias}']. Not looked at: migrations, "
        "writing, clock, isolation, durability, sqlite mode, transactions, workers, "
        "queues, stranded tasks, unknown tasks."
    )


def test_a_database_without_its_migrations_is_one_finding(alias_of, tmp_path):
    alias = alias_of(IN_A_FILE | {"NAME": tmp_path / "new.sqlite3"})

    of_tables = [work.queues, work.stranded_tasks, work.unknown_tasks]
    (found,) = examine(alias, [database.migrations, *of_tables])

    ours = MigrationLoader(None).disk_migrations
    assert found.level == Level.ERROR
    assert f" lacks {sum(app == 'errands' for app, _ in ours)} migrations" in found.text
    assert found.remedy == (
        f"Run manage.py migrate --database {alias}; what needs them was not looked at."
    )


def test_system_checks_that_a_database_breaks_end_no_doctor(monkeypatch):
    def broken(*args: object, **kwargs: object) -> None:
        raise OperationalError("cannot connect")

    monkeypatch.setattr(BaseCommand, "check", broken)
    said = StringIO()

    with pytest.raises(CommandError, match="finding"):
        call_command("doctor", stdout=said, no_color=True, skip_checks=False)

    assert "were not finished: cannot connect\n" in said.getvalue()
    assert "→ Run manage.py check when it answers.\n" in said.getvalue()


def test_an_examination_that_the_database_breaks_is_a_finding_and_stops_no_other():
    def broken(alias: str) -> Iterator[Finding]:
        raise OperationalError("gone away")
        yield

    found = list(examine("default", [broken, lambda alias: iter([ok("fine")])]))

    assert levels(iter(found)) == [Level.ERROR, Level.OK]
    assert "gone away" in found[0].text


def test_an_examination_that_the_site_breaks_is_one_too():
    def broken(alias: str) -> Iterator[Finding]:
        raise ImportError("no module of that name")
        yield

    (found,) = examine("default", [broken])

    assert found.level == Level.ERROR
    assert "ImportError: no module of that name" in found.text


def test_the_command_prints_the_remedies_and_fails_on_errors():
    said = StringIO()

    with pytest.raises(CommandError, match="1 error, "):
        call_command("doctor", stdout=said, no_color=True)

    assert "→ Start manage.py worker" in said.getvalue()


def test_the_command_is_content_with_a_living_worker(settings):
    settings.ERRANDS = {"BASE_URL": "https://shop.example"}
    said = StringIO()

    with live_worker():
        call_command("doctor", stdout=said, no_color=True)

    assert f"({connection.display_name}" in said.getvalue()
    assert "0 errors" in said.getvalue().splitlines()[-1]


def test_the_database_of_runs_is_looked_at_where_the_queue_is_in_another(
    alias_of, settings, tmp_path
):
    alias = alias_of(IN_A_FILE | {"NAME": tmp_path / "queue.sqlite3"})
    queue = settings.TASKS["default"] | {"OPTIONS": {"DATABASE": alias}}
    settings.TASKS = {"default": queue}
    said = StringIO()

    with transaction.atomic():
        MigrationRecorder(connection).migration_qs.filter(app="errands").delete()
        with pytest.raises(CommandError):
            call_command("doctor", stdout=said, no_color=True)
        transaction.set_rollback(True)

    assert "Database 'default' (" in said.getvalue()
    assert "→ Run manage.py migrate --database default; " in said.getvalue()
