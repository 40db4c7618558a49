"""What PostgreSQL plans once, when it does so anew, and where there is no such thing."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from errands.queue.claims import Selection, Settlement
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements import planned
from errands.queue.statements.planned import FEW_ROWS, Planned
from errands.queue.states import TaskState
from errands.queue.store import Store
from errands.tasks.outcomes import Succeeded
from tests.servers import postgresql
from tests.servers.pgbouncer import PgBouncer
from tests.testapp import tasks

COPIED = (
    "payload, enqueued_at, queue, precedence, path, max_attempts, metadata, "
    "at_most_once, attempt, crashes, releases, token, errors, worker_ids"
)
MANY_DEFERRED = f"""
INSERT INTO errands_task (uuid, {COPIED}, state, run_at)
SELECT gen_random_uuid(), {COPIED}, {TaskState.SCHEDULED:d}, now() + interval '1 year'
FROM (SELECT * FROM errands_task LIMIT 1) AS one, generate_series(1, 100000)
"""
PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'errands_%%'"


@pytest.fixture(autouse=True)
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take only a tenth of a second for slow: machines under test stand still."""
    monkeypatch.setattr(planned, "SLOW_SECONDS", 0.1)


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
                schema.create_model(ResultRow)
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


def claim_and_settle(times: int, limit: int = 1) -> int:
    store, settled = Store("planned"), 0
    for _ in range(times):
        claims = store.claim(uuid4(), Selection(), limit)
        now = timezone.now()
        settled += len(
            store.settle(
                [Settlement(each, Succeeded(None), now, now, "host:1") for each in claims]
            )
        )
    return settled


def statements(alias: str, act: Callable[[], object]) -> list[str]:
    """Return what the site sees sent."""
    with CaptureQueriesContext(connections[alias]) as queries:
        act()
    return [query["sql"] for query in queries]


def first_words(statements: list[str]) -> list[str]:
    return [statement.split()[0] for statement in statements]


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


def test_a_worker_plans_once_what_it_claims_and_settles_one_by_one(site):
    alias = site()
    enqueue(30)

    settled = claim_and_settle(5)
    as_planned = statements(alias, partial(claim_and_settle, 2))

    assert settled == 5
    assert len(as_planned) == 4
    assert as_planned[0].startswith("EXECUTE errands_claim_")
    assert as_planned[1].startswith("EXECUTE errands_finish_")
    assert stored(alias) == 23
    assert ResultRow.objects.using(alias).count() == 7


def test_what_brings_many_rows_is_planned_each_time(site):
    alias = site()
    tasks.add.using(backend="planned").enqueue_many([((1,), {})] * 200)
    claim_and_settle(6)

    claim_and_settle(1, limit=FEW_ROWS + 1)
    after_many = statements(alias, partial(claim_and_settle, 1, limit=FEW_ROWS + 1))
    claim_and_settle(1)
    after_few = statements(alias, partial(claim_and_settle, 1))

    assert first_words(after_many) == ["WITH", "WITH"]
    assert first_words(after_few) == ["EXECUTE", "EXECUTE"]


def test_a_table_that_changes_under_a_plan_stops_nobody(site):
    alias = site()
    enqueue(20)
    claim_and_settle(7)

    with connections[alias].schema_editor() as schema:
        schema.execute("ALTER TABLE errands_task ALTER COLUMN attempt TYPE bigint")

    assert claim_and_settle(3) == 3


def test_a_plan_that_has_become_slow_is_made_anew_after_twice_as_many_uses(site):
    alias = site()
    sleeping = Planned("sleep", "SELECT pg_sleep(%s::float)")

    def sleep(seconds: float = 0) -> None:
        with connections[alias].cursor() as cursor:
            sleeping.execute(cursor, [str(seconds)])

    def sent(times: int) -> list[str]:
        return statements(alias, lambda: [sleep() for _ in range(times)])

    as_plain, as_planned = ["SELECT"], ["EXECUTE"]
    assert first_words(sent(7)) == as_plain * 5 + as_planned * 2
    sleep(0.2)
    assert first_words(sent(12)) == as_plain * 10 + as_planned * 2
    assert prepared(alias) == 1


def test_a_use_that_was_held_up_once_excuses_no_slow_plan(site):
    alias = site()
    sleeping = Planned("sleep", "SELECT pg_sleep(%s::float)")

    def sleep(*seconds: float) -> None:
        with connections[alias].cursor() as cursor:
            for each in seconds:
                sleeping.execute(cursor, [str(each)])

    sleep(0.3, 0, 0, 0, 0, 0)
    sent = statements(alias, partial(sleep, 0.2, 0))

    assert first_words(sent) == ["EXECUTE", "SELECT"]


def test_a_claim_planned_for_an_empty_table_is_planned_anew_when_it_has_filled(
    site, monkeypatch
):
    alias = site()
    with connections[alias].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE errands_task")
        claim_and_settle(12)
        enqueue(10)
        cursor.execute(MANY_DEFERRED)

    # To read all of it takes long, though not so long on every machine.
    monkeypatch.setattr(planned, "SLOW_SECONDS", 0.0)
    claims = statements(alias, partial(claim_and_settle, 4))[::2]

    assert first_words(claims) == ["EXECUTE", "WITH", "WITH", "WITH"]
