"""The INSERT that PostgreSQL plans once, and where there is no such thing."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from errands.queue.models import TaskRow
from tests.servers import postgresql
from tests.servers.pgbouncer import PgBouncer
from tests.testapp import tasks

PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'errands_%%'"


@pytest.fixture
def database() -> Iterator[str]:
    """A database on the PostgreSQL of the run, whichever the run is on."""
    name = f"errands_planned_{uuid4().hex[:8]}"
    with closing(psycopg.connect(postgresql.url(), autocommit=True)) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield name
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def site(alias_of, database, settings) -> Callable[..., str]:
    """Return a function that makes it the database of the tasks, by a new alias."""

    def use(**changed: object) -> str:
        alias = alias_of(postgresql.database(database) | changed)
        if "errands_task" not in connections[alias].introspection.table_names():
            with connections[alias].schema_editor() as schema:
                schema.create_model(TaskRow)
        backend = settings.TASKS["default"] | {"OPTIONS": {"DATABASE": alias}}
        settings.TASKS = settings.TASKS | {"planned": backend}
        return alias

    return use


def enqueue(number: int) -> None:
    for _ in range(number):
        tasks.add.using(backend="planned").enqueue(1)


def stored(alias: str) -> int:
    return TaskRow.objects.using(alias).count()


def prepared(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(PREPARED)
        return int(cursor.fetchone()[0])


def test_a_connection_that_enqueues_often_plans_once_and_shows_no_query_more(site):
    alias = site()
    enqueue(5)
    assert prepared(alias) == 0

    with CaptureQueriesContext(connections[alias]) as queries:
        enqueue(7)

    assert prepared(alias) == 1
    inserts = [query["sql"] for query in queries if "NOTIFY" not in query["sql"].upper()]
    assert len(inserts) == 7
    assert all(sql.startswith("EXECUTE errands_insert_") for sql in inserts)
    assert stored(alias) == 12
    (row,) = set(TaskRow.objects.using(alias).values_list("path", "payload", "errors"))
    assert row[0] == tasks.add.module_path


def test_inside_a_transaction_nothing_that_may_be_refused_is_sent(site):
    alias = site()
    enqueue(7)

    with CaptureQueriesContext(connections[alias]) as queries, transaction.atomic(alias):
        enqueue(1)
    with connections[alias].cursor() as cursor:
        cursor.execute("BEGIN")
        enqueue(1)
        cursor.execute("ROLLBACK")

    assert not any("EXECUTE" in query["sql"] for query in queries)
    assert stored(alias) == 8


def test_a_connection_that_forgot_it_inserts_in_the_plain_way(site):
    alias = site()
    enqueue(7)
    with connections[alias].cursor() as cursor:
        cursor.execute("DISCARD ALL")

    enqueue(7)

    assert stored(alias) == 14
    assert prepared(alias) == 0


def test_a_site_that_says_it_has_a_pooler_is_not_asked(site):
    alias = site(DISABLE_SERVER_SIDE_CURSORS=True)

    enqueue(10)

    assert prepared(alias) == 0
    assert stored(alias) == 10


def behind(pooler: PgBouncer) -> dict[str, object]:
    entry = pooler.database("any")
    return {name: entry[name] for name in ("HOST", "PORT")}


def test_behind_a_pooler_that_changes_the_servers_connection_nothing_is_lost(
    site, pgbouncer
):
    through = behind(pgbouncer("transaction"))
    alias = site(**through)
    enqueue(7)
    assert prepared(alias) == 1

    # Somebody else's transaction takes the connection on which it was prepared.
    with closing(connections[alias].copy("somebody")) as other, other.cursor() as taking:
        taking.execute("BEGIN")
        enqueue(2)
        taking.execute("ROLLBACK")
    enqueue(2)

    assert stored(alias) == 11


def test_behind_a_pooler_a_second_process_finds_it_prepared_already(site, pgbouncer):
    through = behind(pgbouncer("transaction"))
    first = site(**through)
    enqueue(7)
    assert prepared(first) == 1

    second = site(**through)
    enqueue(7)

    assert stored(second) == 14


@pytest.mark.parametrize("text", ["it's", 'a "b"', "\\", "{[,]}", "é", "%s", "'); DROP"])
def test_whatever_a_call_or_its_options_hold_is_stored_as_it_is(site, text):
    alias = site()
    enqueue(7)
    packed = tasks.add.using(backend="planned", metadata={"note": text})

    packed.enqueue(text)

    row = TaskRow.objects.using(alias).latest("id")
    assert json.loads(row.metadata) == {"note": text}
    assert json.loads(row.payload)["args"] == [text]
