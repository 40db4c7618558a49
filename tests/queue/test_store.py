"""Claiming, settling, releasing: who holds the token decides."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import (
    DataError,
    InternalError,
    ProgrammingError,
    connection,
    connections,
)
from django.db.models import F
from django.tasks import TaskResultStatus
from django.utils import timezone

from errands.conf import settings
from errands.exceptions import TaskCancelled, UnknownTask
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Settlement, storable
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements import statements_for
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
from errands.tasks.outcomes import (
    AttemptError,
    Failed,
    Interrupted,
    Retry,
    Snoozed,
    Succeeded,
)
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)
ERROR = AttemptError.of(ValueError("no luck"))
# As newer servers of MySQL show a plan, it says nothing of an UPDATE.
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "mysql": "EXPLAIN FORMAT=TRADITIONAL"}


def test_claims_by_priority_and_first_come_first_served(worker):
    for number, priority in enumerate([0, 10, 0, -5, 10]):
        tasks.add.using(priority=priority).enqueue(number)

    claims = worker.claim()

    assert [json.loads(claim.payload)["args"] for claim in claims] == [
        [1],
        [4],
        [0],
        [2],
        [3],
    ]


def test_empties_queues_in_the_order_named(worker):
    for name in ("slow", "mail", "default"):
        tasks.nothing.using(queue_name=name).enqueue()

    first = worker.claim("mail,slow")
    rest = worker.claim("mail,*")

    assert [claim.queue for claim in first] == ["mail", "slow"]
    assert [claim.queue for claim in rest] == ["default"]


def test_takes_only_priorities_in_its_range(worker):
    for priority in (-10, 0, 10):
        tasks.nothing.using(priority=priority).enqueue()

    claims = worker.claim(min_priority=0, max_priority=5)

    assert [claim.priority for claim in claims] == [0]


def test_a_claim_raises_token_and_attempt(worker):
    tasks.nothing.enqueue()

    (first,) = worker.claim()
    worker.store.release([first])
    (second,) = worker.claim()

    assert (first.token, second.token) == (1, 2)
    assert (first.attempt, second.attempt) == (1, 1)


def test_never_claims_more_than_asked_nor_twice(new_worker):
    tasks.nothing.enqueue_many([((), {})] * 40)

    def claim(_: int) -> list[int]:
        try:
            return [claim.id for claim in new_worker().claim(limit=5)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(claim, range(8)))

    assert all(len(ids) <= 5 for ids in taken)
    ids = [row_id for ids in taken for row_id in ids]
    assert len(ids) == len(set(ids))
    assert TaskRow.objects.filter(state=TaskState.RUNNING).count() == len(ids)


def test_settling_moves_the_row_to_the_results(worker):
    result = tasks.echo.enqueue("in")

    settled = worker.succeed(worker.claim(), {"out": "\0\ud800"})

    assert len(settled) == 1
    assert TaskRow.objects.count() == 0
    read = tasks.echo.get_result(result.id)
    assert read.status == TaskResultStatus.SUCCESSFUL
    assert read.return_value == {"out": "\0\ud800"}
    assert read.worker_ids == [worker.identity.name]
    assert read.enqueued_at <= read.started_at <= read.finished_at


def test_a_zombie_changes_nothing(worker, new_worker, store):
    result = tasks.echo.enqueue(1)
    stale = worker.claim()
    store.release(stale)
    second = new_worker()
    held = second.claim()

    assert worker.succeed(stale, "zombie") == set()
    assert worker.fail(stale) == set()
    assert store.release(stale) == 0
    assert second.succeed(held, "second") == {held[0].id}
    assert worker.fail(stale) == set()

    assert tasks.echo.get_result(result.id).return_value == "second"
    assert ResultRow.objects.count() == 1


def test_settling_again_after_a_lost_answer_is_acknowledged(worker):
    tasks.nothing.enqueue()
    claims = worker.claim()

    first = worker.succeed(claims)
    again = worker.succeed(claims)

    assert first == again == {claims[0].id}
    assert ResultRow.objects.count() == 1


def test_so_is_settling_again_what_left_no_result(worker, store):
    tasks.nothing.enqueue()
    (claim,), now = worker.claim(), timezone.now()
    ended = Settlement(claim, Succeeded(1), now, now, "anna", keep=timedelta())

    first, again = store.settle([ended]), store.settle([ended])

    assert first == again == {claim.id: ended}


def test_what_left_no_result_is_not_settled_while_somebody_else_runs_it(
    worker, new_worker, store
):
    tasks.nothing.enqueue()
    stale, now = worker.claim(), timezone.now()
    ended = Settlement(stale[0], Succeeded(1), now, now, "anna", keep=timedelta())
    store.release(stale)
    heirs = new_worker().claim()

    while_it_runs = store.settle([ended])
    new_worker().fail(heirs)
    when_it_has_failed = store.settle([ended])

    assert while_it_runs == when_it_has_failed == {}
    assert ResultRow.objects.get().status == ResultStatus.FAILED


def test_so_is_settling_a_retry_again(worker, store):
    tasks.fail.enqueue()
    (claim,), now = worker.claim(), timezone.now()
    settlement, another = (
        Settlement(claim, Retry(timedelta(minutes=minutes), ERROR), now, now, "anna")
        for minutes in (5, 6)
    )

    first, again = store.settle([settlement]), store.settle([settlement])

    assert list(first) == list(again) == [claim.id]
    assert store.settle([another]) == {}


def test_a_retry_keeps_the_error_and_waits(worker, store):
    result = tasks.fail.enqueue()
    worker.settle(worker.claim(), Retry(timedelta(minutes=5), ERROR))

    waiting = tasks.fail.get_result(result.id)

    assert waiting.status == TaskResultStatus.READY
    assert waiting.attempts == 1
    assert waiting.errors[0].exception_class is ValueError
    assert worker.claim() == []
    assert timedelta(minutes=4) < store.next_due() <= timedelta(minutes=5, milliseconds=1)


def test_a_failed_task_keeps_every_attempts_error(worker, store):
    result = tasks.fail.enqueue()
    for _ in range(2):
        worker.settle(worker.claim(), Retry(timedelta(), ERROR))
        store.stage()
    worker.fail(worker.claim())

    read = tasks.fail.get_result(result.id)

    assert read.status == TaskResultStatus.FAILED
    assert len(read.errors) == read.attempts == 3


def test_staging_moves_only_what_is_due(worker, store):
    tasks.add.using(run_after=timedelta(hours=1)).enqueue(1)
    tasks.add.using(run_after=timedelta(hours=2)).enqueue(2)
    TaskRow.objects.filter(id=TaskRow.objects.earliest("run_at").id).update(
        run_at=timezone.now()
    )

    assert store.stage() == 1
    assert len(worker.claim()) == 1


def test_releasing_and_snoozing_cost_no_attempt(worker, store):
    tasks.nothing.enqueue()
    for _ in range(3):
        store.release(worker.claim())
    worker.settle(worker.claim(), Interrupted())
    worker.settle(worker.claim(), Snoozed(timedelta()))
    store.stage()

    (claim,) = worker.claim()

    assert (claim.attempt, claim.crashes, claim.releases) == (1, 0, 1)
    assert claim.errors == []


def test_interruptions_past_the_cap_count_as_crashes(worker):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(releases=settings().releases)

    for _ in range(settings().crashes):
        worker.settle(worker.claim(), Interrupted())

    assert tasks.nothing.get_result(result.id).status == TaskResultStatus.FAILED
    assert ResultRow.objects.get().status == ResultStatus.CRASHED


def test_one_record_that_the_database_refuses_spoils_no_other(worker, store, monkeypatch):
    results = tasks.nothing.enqueue_many([((), {})] * 5)
    claims = worker.claim()
    statements = statements_for(connection)
    finish = statements.finish

    def refuse_one(cursor, records):
        if any(r.id == claims[2].id and r.worker_ids != "[]" for r in records):
            raise DataError("too much")
        return finish(cursor, records)

    monkeypatch.setattr(statements, "finish", refuse_one)

    settled = worker.succeed(claims)

    assert settled == {claim.id for claim in claims}
    statuses = [tasks.nothing.get_result(result.id).status for result in results]
    assert statuses.count(TaskResultStatus.SUCCESSFUL) == 4
    refused = tasks.nothing.get_result(results[2].id)
    assert "too much" in refused.errors[0].traceback


def test_a_task_that_cannot_be_ended_at_all_stops_no_other(worker, caplog):
    tasks.nothing.enqueue()
    worker.succeed(worker.claim())
    tasks.nothing.enqueue_many([((), {})] * 2)
    claims = worker.claim()
    # As after errands_task has been truncated where that resets its ids.
    ResultRow.objects.update(id=claims[0].id)

    settled = worker.succeed(claims)

    assert settled == {claims[1].id}
    assert f"task row={claims[0].id} cannot be ended either" in caplog.text


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("error", [InternalError, ProgrammingError])
def test_a_database_that_refuses_everything_for_a_while_costs_no_outcome(
    worker, monkeypatch, error, times
):
    result = tasks.nothing.enqueue()
    claims = worker.claim()
    refusals = iter([error("it is read-only, or a table is missing")] * times)
    finish = statements_for(connection).finish

    def refuse_for_a_while(*args: Any) -> set[int]:
        for refusal in refusals:
            raise refusal
        return finish(*args)

    monkeypatch.setattr(statements_for(connection), "finish", refuse_for_a_while)
    for _ in range(times):
        with pytest.raises(error):
            worker.succeed(claims)
    settled = worker.succeed(claims)

    assert settled == {claims[0].id}
    status = tasks.nothing.get_result(result.id).status
    assert status == TaskResultStatus.SUCCESSFUL


def test_results_that_are_long_together_are_written_in_several_batches(
    worker, monkeypatch
):
    tasks.nothing.enqueue_many([((), {})] * 8)
    claims = worker.claim()
    statements, batches = statements_for(connection), []
    finish = statements.finish

    def note(cursor, records):
        batches.append(len(records))
        return finish(cursor, records)

    monkeypatch.setattr(statements, "finish", note)

    settled = worker.succeed(claims, "x" * 1_000_000)

    assert settled == {claim.id for claim in claims}
    assert sum(batches) == 8
    assert max(batches) <= 4


def test_a_result_too_large_to_store_fails_with_the_remedy():
    outcome = storable(Succeeded("x" * 20_000_000))

    assert isinstance(outcome, Failed)
    assert "Write a file and return its name" in outcome.error.traceback


def test_a_waiting_task_is_cancelled_at_once(worker, store):
    ready, later = (
        tasks.nothing.enqueue(),
        tasks.nothing.using(run_after=timedelta(days=1)).enqueue(),
    )

    assert store.backend.cancel(ready.id)
    assert store.backend.cancel(later.id)

    read = tasks.nothing.get_result(ready.id)
    assert read.status == TaskResultStatus.FAILED
    assert read.errors[0].exception_class is TaskCancelled
    assert worker.claim() == []


def test_a_finished_task_is_not_cancelled(worker, store):
    result = tasks.nothing.enqueue()
    worker.succeed(worker.claim())

    assert not store.backend.cancel(result.id)
    assert tasks.nothing.get_result(result.id).status == TaskResultStatus.SUCCESSFUL


def test_is_drained_when_nothing_of_the_selection_is_left(worker, store):
    tasks.nothing.using(queue_name="mail").enqueue()
    tasks.nothing.using(run_after=timedelta(hours=1)).enqueue()
    mail, other = Selection.parse("mail"), Selection.parse("other")

    assert not store.is_drained(mail)
    assert store.is_drained(other)
    claims = worker.claim("mail")
    assert not store.is_drained(Selection())
    worker.succeed(claims)
    assert store.is_drained(Selection())


def test_prunes_only_what_is_older_than_it_is_kept(worker, store):
    tasks.nothing.enqueue_many([((), {})] * 4)
    claims = worker.claim()
    worker.succeed(claims[:2])
    worker.fail(claims[2:])
    ids = list(ResultRow.objects.order_by("id").values_list("id", flat=True))
    ResultRow.objects.filter(id__in=[ids[0], ids[2]]).update(
        finished_at=timezone.now() - timedelta(days=8)
    )

    assert store.prune() == 1
    assert set(ResultRow.objects.values_list("id", flat=True)) == set(ids[1:])


@pytest.mark.parametrize("payload", ["", "null", "[]", '{"args": 1}', "{"])
def test_a_row_that_cannot_be_read_can_still_be_failed(worker, payload):
    tasks.nothing.enqueue()
    TaskRow.objects.update(payload=payload, errors="nonsense", worker_ids="{}")

    (claim,) = worker.claim()

    assert worker.fail([claim]) == {claim.id}


def test_a_claim_reads_nothing_but_its_index():
    tasks.nothing.using(run_after=timedelta(days=1)).enqueue_many([((), {})] * 500)
    tasks.nothing.enqueue_many([((), {})] * 500)
    explain = EXPLAIN.get(connection.vendor, "EXPLAIN")

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE errands_task")
        cursor.execute(
            f"{explain} SELECT id FROM errands_task WHERE state = 1 "
            "AND queue = 'default' AND precedence BETWEEN -100 AND 100 "
            "ORDER BY precedence, id LIMIT 5"
        )
        plan = " ".join(str(row) for row in cursor.fetchall())

    assert "errands_task_ready" in plan
    assert "Sort" not in plan
    assert "filesort" not in plan
    assert "TEMP B-TREE" not in plan


def entries_read() -> int:
    """Return how many index entries this session has read; only MySQL counts them."""
    if connection.vendor != "mysql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read_next'")
        return int(cursor.fetchone()[1])


def test_many_names_cost_no_reading_of_all_rows_for_each_of_them(store):
    for number in range(40):
        tasks.add.using(queue_name=f"queue{number:02}").enqueue_many([((1,), {})] * 25)
    before = entries_read()

    names = store.queue_names()

    assert names == [f"queue{number:02}" for number in range(40)]
    # 40 × 1,000 where each name is looked for among all rows.
    assert entries_read() - before <= 2_000


def test_many_keys_cost_no_reading_of_all_rows_for_each_of_them(store):
    for number in range(40):
        tasks.add.using(queue_name=f"queue{number:02}").enqueue_many([((1,), {})] * 25)
    TaskRow.objects.update(
        state=TaskState.BLOCKED, concurrency_limit=0, concurrency_key=F("queue")
    )
    before = entries_read()

    with_room = store.unblock()

    assert with_room == 0
    assert entries_read() - before <= 4_000


def test_a_claim_locks_from_the_first_ready_row_and_no_further_than_there_are(worker):
    said: list[tuple[str, Any]] = []

    def note(execute, sql, params, many, context):
        said.append((sql, params))
        return execute(sql, params, many, context)

    tasks.add.using(priority=-5).enqueue(1)
    tasks.add.enqueue_many([((2,), {}), ((3,), {})])
    oldest = TaskRow.objects.earliest("id")

    with connection.execute_wrapper(note):
        claims = worker.claim(limit=10)

    assert [claim.priority for claim in claims] == [0, 0, -5]
    if connection.vendor == "mysql":
        # Dead entries lie before the first and behind the last, and each costs a lock.
        [params] = [params for sql, params in said if "SKIP LOCKED" in sql]
        assert (params[-1], params[-4]) == (3, oldest.id)


@pytest.fixture
def plans() -> Iterator[list[str]]:
    """How the database goes about each statement of ours from here on."""
    said: list[str] = []
    explain = EXPLAIN.get(connection.vendor, "EXPLAIN")

    def note(execute, sql, params, many, context):
        if sql.split()[0] in {"WITH", "SELECT", "INSERT", "UPDATE", "DELETE"}:
            execute(f"{explain} {sql}", params, many, context)
            said.append(" ".join(map(str, context["cursor"].fetchall())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield said


def test_a_claim_sorts_nothing_though_the_planner_knows_nothing_yet(worker, plans):
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A table that nobody has analyzed, as after the first big enqueue.
            cursor.execute("TRUNCATE errands_task")
    tasks.nothing.enqueue_many([((), {})] * 20_000)
    plans.clear()

    assert len(worker.claim(limit=500)) == 500

    said = " ".join(plans)
    assert "errands_task_ready" in said
    assert "Sort" not in said
    assert "filesort" not in said
    assert "TEMP B-TREE" not in said


def analyze() -> None:
    """Let the planner know how many rows there are."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE errands_task, errands_result")


def test_a_batch_is_looked_up_in_an_index_however_many_rows_there_are(
    worker, store, plans
):
    tasks.nothing.enqueue_many([((), {})] * 5_000)
    while claims := worker.claim(limit=500):
        worker.succeed(claims)
    ResultRow.objects.update(finished_at=timezone.now() - timedelta(days=400))
    tasks.nothing.using(run_after=timedelta(days=1)).enqueue_many([((), {})] * 5_000)
    TaskRow.objects.update(run_at=timezone.now() - timedelta(days=1))
    analyze()
    plans.clear()

    assert store.stage(200) == 200
    assert store.prune(200) == 200

    written = [plan for plan in plans if not plan.startswith("('Result")]
    assert written
    assert "Seq Scan on errands_" not in " ".join(written)


@pytest.mark.parametrize("act", ["succeed", "release", "begin"])
def test_what_is_found_by_its_id_walks_no_index_of_its_state(worker, store, plans, act):
    tasks.nothing.using(run_after=timedelta(days=1)).enqueue_many([((), {})] * 500)
    tasks.nothing.enqueue()
    analyze()
    claims = worker.claim()
    plans.clear()

    {
        "succeed": lambda: worker.succeed(claims),
        "release": lambda: store.release(claims),
        "begin": lambda: store.begin(claims[0]),
    }[act]()

    assert any("errands_task" in plan for plan in plans)
    assert not any("errands_task_running" in plan for plan in plans)


def test_the_result_of_a_task_unknown_here_is_not_taken_for_a_missing_one():
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(path="shop.tasks.from_the_future")

    with pytest.raises(UnknownTask, match="from_the_future"):
        tasks.nothing.get_result(result.id)


def test_a_backend_without_tables_has_no_store():
    with pytest.raises(ValueError, match=r"TASKS has no 'dummy' .* Known: default"):
        Store("dummy")
