"""What PostgreSQL plans once, when it does so anew, and where there is no such thing."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from math import inf
from uuid import uuid4

import psycopg
import pytest
from django.db import connections, transaction
from django.utils import timezone

from errands.queue.claiming.selection import Selection
from errands.queue.claims import Settlement
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements import cursor_of
from errands.queue.statements.postgresql import planned
from errands.queue.statements.postgresql.planned import FEW_ROWS, Planned
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
PREPARED = """
SELECT count(*), coalesce(sum(generic_plans + custom_plans), 0)
FROM pg_prepared_statements WHERE name LIKE 'errands_%%'
"""


@pytest.fixture(autouse=True)
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nothing for slow: machines under test stand still."""
    monkeypatch.setattr(planned, "SLOW_SECONDS", inf)


@pytest.fixture
def some_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a tenth of a second for slow."""
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
    """Return how many statements its connection has prepared."""
    return _prepared(alias)[0]


def carried_out(alias: str, act: Callable[[], object]) -> int:
    """Return how many statements are carried out as prepared."""
    before = _prepared(alias)[1]
    act()
    return _prepared(alias)[1] - before


def _prepared(alias: str) -> tuple[int, int]:
    with connections[alias].cursor() as cursor:
        cursor.execute(PREPARED)
        number, uses = cursor.fetchone()
    return int(number), int(uses)


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


def test_a_connection_that_enqueues_often_plans_once_and_shows_no_query_more(site):
    alias = site()
    enqueue(5)
    assert prepared(alias) == 0

    seen = []

    def see(execute, sql, params, *rest):
        if "pg_notify" not in sql:
            seen.append((sql.split(" (")[0], tasks.add.module_path in params))
        return execute(sql, params, *rest)

    with connections[alias].execute_wrapper(see):
        enqueue(7)

    assert prepared(alias) == 1
    assert seen == [("INSERT INTO errands_task", True)] * 7
    assert carried_out(alias, partial(enqueue, 3)) == 3
    assert stored(alias) == 15
    (row,) = set(TaskRow.objects.using(alias).values_list("path", "payload", "errors"))
    assert row[0] == tasks.add.module_path


def test_inside_a_transaction_nothing_that_may_be_refused_is_sent(site):
    alias = site()
    enqueue(7)

    def enqueue_inside() -> None:
        with transaction.atomic(alias):
            enqueue(2)
        with connections[alias].cursor() as cursor:
            cursor.execute("BEGIN")
            enqueue(1)
            cursor.execute("ROLLBACK")

    assert carried_out(alias, enqueue_inside) == 0
    assert stored(alias) == 9


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


def test_behind_a_pooler_that_the_site_speaks_of_all_goes_without_preparing(
    site, pgbouncer
):
    through = behind(pgbouncer("transaction"))
    alias = site(**through, DISABLE_SERVER_SIDE_CURSORS=True)

    enqueue(7)
    with transaction.atomic(alias):
        enqueue(2)
    settled = claim_and_settle(7)

    assert (settled, prepared(alias)) == (7, 0)
    assert stored(alias) == 2


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
    as_planned = carried_out(alias, partial(claim_and_settle, 2))

    assert settled == 5
    assert as_planned == 4
    assert stored(alias) == 23
    assert ResultRow.objects.using(alias).count() == 7


def test_what_brings_many_rows_is_planned_each_time(site):
    alias = site()
    tasks.add.using(backend="planned").enqueue_many([((1,), {})] * 200)
    claim_and_settle(6)

    claim_and_settle(1, limit=FEW_ROWS + 1)
    after_many = carried_out(alias, partial(claim_and_settle, 1, limit=FEW_ROWS + 1))
    claim_and_settle(1)
    after_few = carried_out(alias, partial(claim_and_settle, 1))

    assert after_many == 0
    assert after_few == 2


def test_a_table_that_changes_under_a_plan_stops_nobody(site):
    alias = site()
    enqueue(20)
    claim_and_settle(7)

    with connections[alias].schema_editor() as schema:
        schema.execute("ALTER TABLE errands_task ALTER COLUMN attempt TYPE bigint")

    assert claim_and_settle(3) == 3


def sleep(alias: str, statement: Planned, *seconds: float) -> None:
    for each in seconds:
        with cursor_of(connections[alias]) as cursor:
            cursor.execute(statement, [str(each)])


def test_a_plan_that_has_become_slow_is_made_anew_after_twice_as_many_uses(
    site, some_haste
):
    alias = site()
    sleeping = Planned("sleep", "SELECT pg_sleep(%s::float)")

    def planned_of(times: int) -> int:
        return carried_out(alias, partial(sleep, alias, sleeping, *[0] * times))

    assert planned_of(7) == 2
    sleep(alias, sleeping, 0.2)
    sleep(alias, sleeping, *[0] * 12)
    # It counts from the second preparation.
    assert _prepared(alias) == (1, 2)


def test_a_use_that_was_held_up_once_excuses_no_slow_plan(site, some_haste):
    alias = site()
    sleeping = Planned("sleep", "SELECT pg_sleep(%s::float)")

    sleep(alias, sleeping, 0.3, 0, 0, 0, 0, 0)

    assert carried_out(alias, partial(sleep, alias, sleeping, 0.2, 0)) == 1


def test_a_claim_planned_for_an_empty_table_is_planned_anew_when_it_has_filled(
    site, monkeypatch
):
    alias = site()
    with connections[alias].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE errands_task")
        claim_and_settle(12)
        enqueue(10)
        cursor.execute(MANY_DEFERRED)

    def claim(times: int) -> int:
        store = Store("planned")
        return sum(len(store.claim(uuid4(), Selection(), 1)) for _ in range(times))

    # To read all of it takes long, though not so long on every machine.
    monkeypatch.setattr(planned, "SLOW_SECONDS", 0.0)
    assert carried_out(alias, partial(claim, 4)) == 1
