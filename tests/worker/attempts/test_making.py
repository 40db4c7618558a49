"""From a claim to an attempt that has ended."""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import InternalError, connection, connections, transaction
from django.tasks import TaskResultStatus
from django.tasks.signals import task_finished, task_started
from django.utils import timezone

from errands.exceptions import UnknownTask
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim, dump_call, dump_ending
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import TaskState
from errands.tasks.outcomes import Cancelled, Failed, Outcome, Snoozed, Succeeded
from errands.tasks.signals import task_discarded, task_retrying
from errands.worker.announcing import Announcer
from errands.worker.attempts import making
from errands.worker.attempts.making import Attempts
from errands.worker.connections import (
    callers_transactions,
    clean_connections,
    keep_connections,
)
from errands.worker.executor import Executor
from errands.worker.loop import Loop
from errands.worker.workplace import Workplace
from tests.testapp import tasks
from tests.worker.conftest import claim_of
from tests.worker.tasks import never_twice


@pytest.fixture
def attempts(real_workplace: Workplace) -> Attempts:
    return Attempts(real_workplace)


@pytest.fixture
def announcer(real_workplace: Workplace) -> Announcer:
    return Announcer(real_workplace)


@pytest.fixture
def claim(real_workplace: Workplace) -> Callable[[], Claim]:
    def claim() -> Claim:
        return real_workplace.store.claim(uuid4(), Selection(), 1)[0]

    return claim


@pytest.fixture
def heard() -> list[tuple[str, TaskResultStatus, str]]:
    return []


@pytest.fixture(autouse=True)
def listening(heard):
    signals = {
        "finished": task_finished,
        "retrying": task_retrying,
        "discarded": task_discarded,
    }

    def listen(name):
        def receive(task_result, **kwargs):
            active = sys.exc_info()[1]
            heard.append((name, task_result.status, repr(active) if active else ""))

        return receive

    receivers = {name: listen(name) for name in signals}
    for name, signal in signals.items():
        signal.connect(receivers[name], weak=False)
    yield
    for name, signal in signals.items():
        signal.disconnect(receivers[name])


def test_a_claimed_task_is_run_and_timed(attempts: Attempts, claim):
    tasks.add.enqueue(2, right=3)
    before = timezone.now()

    settlement, result, *_ = attempts.make(claim())

    assert settlement.outcome == Succeeded(5)
    assert before <= settlement.started_at <= settlement.finished_at <= timezone.now()
    assert settlement.worker_name == "anna"
    assert result.worker_ids == ["anna"]


def test_an_unknown_task_is_left_to_newer_workers_and_logged_once(
    attempts: Attempts, caplog
):
    unknown = claim_of(1, path="shop.tasks.renamed")

    first, second = attempts.make(unknown), attempts.make(unknown)

    assert first.settlement.outcome == Snoozed(timedelta(seconds=60))
    assert second.settlement.outcome == Snoozed(timedelta(seconds=60))
    assert caplog.text.count("path=shop.tasks.renamed is unknown to this worker") == 1


def test_patience_with_an_unknown_task_begins_when_it_is_first_missed(
    attempts: Attempts, claim, real_workplace
):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(
        path="shop.tasks.of_newer_code",
        enqueued_at=timezone.now() - timedelta(days=7),
    )
    first = attempts.make(claim())
    real_workplace.store.settle([first.settlement])
    TaskRow.objects.update(state=TaskState.READY)

    second = claim()
    TaskRow.objects.update(path=tasks.nothing.module_path)
    known = attempts.make(second._replace(path=tasks.nothing.module_path))
    real_workplace.store.settle([known.settlement])

    assert first.settlement.outcome == Snoozed(timedelta(seconds=60))
    assert second.attempt == 1
    assert list(ResultRow.objects.values_list("uuid", "metadata")) == [
        (UUID(result.id), "{}")
    ]


def test_an_unknown_task_fails_when_patience_ends(attempts: Attempts, settings):
    settings.ERRANDS = {"UNKNOWN_TASK_PATIENCE": timedelta(hours=2)}
    missed_since = time.time() - 7200
    unknown = claim_of(1, path="shop.tasks.renamed")._replace(
        metadata={"_missed_since": missed_since}
    )

    settlement, result, *_ = attempts.make(unknown)

    assert result is None
    assert settlement.metadata == "{}"
    assert isinstance(settlement.outcome, Failed)
    assert isinstance(settlement.outcome.error.exception, UnknownTask)
    assert "No worker knows 'shop.tasks.renamed'" in settlement.outcome.error.traceback


def test_a_cancelled_unknown_task_is_waited_for_anew_where_it_is_retried(
    attempts: Attempts,
):
    unknown = claim_of(1, path="shop.tasks.renamed")._replace(
        cancel_requested=True, metadata={"_missed_since": time.time() - 60}
    )

    settlement = attempts.make(unknown).settlement

    assert isinstance(settlement.outcome, Cancelled)
    assert settlement.metadata == "{}"


def test_a_call_that_cannot_be_read_fails_the_task_and_not_the_worker(
    attempts: Attempts, caplog
):
    broken = claim_of(1, path=tasks.nothing.module_path)._replace(payload="{")

    settlement, result, *_ = attempts.make(broken)

    assert result is None
    assert isinstance(settlement.outcome, Failed)
    assert "broke its attempt" in caplog.text


def test_a_retry_is_announced_with_its_exception_and_does_not_finish(
    attempts: Attempts, announcer: Announcer, claim, heard
):
    tasks.fail.enqueue("bad luck")

    announcer.announce(attempts.make(claim()))

    assert heard == [
        ("retrying", TaskResultStatus.RUNNING, "ValueError('bad luck')"),
    ]


def test_a_failure_is_announced_with_its_exception_active(
    attempts: Attempts, announcer: Announcer, claim, heard
):
    tasks.fail_once.enqueue("bad luck")

    announcer.announce(attempts.make(claim()))

    assert heard == [("finished", TaskResultStatus.FAILED, "ValueError('bad luck')")]


def test_a_discarded_task_is_announced_as_such_and_then_as_finished(
    attempts: Attempts, announcer: Announcer, claim, heard
):
    tasks.discard.enqueue()

    announcer.announce(attempts.make(claim()))

    assert [name for name, _, _ in heard] == ["discarded", "finished"]


def test_a_success_is_announced_without_an_exception(
    attempts: Attempts, announcer: Announcer, claim, heard
):
    tasks.nothing.enqueue()

    announcer.announce(attempts.make(claim()))

    assert heard == [("finished", TaskResultStatus.SUCCESSFUL, "")]
    assert announcer.count == 1


def test_what_a_receiver_leaves_open_is_not_the_tasks(attempts, claim):
    def turn_off(**told: object) -> None:
        transaction.set_autocommit(False)

    tasks.nothing.enqueue()
    task_started.connect(turn_off)
    try:
        attempted = attempts.make(claim())
    finally:
        task_started.disconnect(turn_off)

    assert attempted.settlement.outcome == Succeeded(None)
    assert connection.get_autocommit()


def test_a_receiver_that_ends_the_process_does_not(
    attempts: Attempts, announcer: Announcer, claim, caplog
):
    def leave(**kwargs):
        raise SystemExit

    tasks.nothing.enqueue()
    attempted = attempts.make(claim())
    task_finished.connect(leave)

    announcer.announce(attempted)

    task_finished.disconnect(leave)
    assert announcer.count == 1
    assert "a receiver broke out" in caplog.text


def executed(workplace: Workplace, claim: Claim) -> Outcome:
    """Let an executor have a claim; return what it makes of it."""
    workplace.inbox.put(claim)
    workplace.inbox.put(None)
    attempts = Attempts(workplace)
    Executor(0, workplace, attempts, loop=Loop(workplace, attempts)).run()
    attempted = workplace.outbox.get_nowait()
    assert attempted is not None
    return attempted.settlement.outcome


def test_an_executor_names_the_task_before_it_runs_it(real_workplace: Workplace, claim):
    tasks.add.enqueue(1)
    taken = claim()

    assert executed(real_workplace, taken) == Succeeded(2)
    assert real_workplace.slots.started == {taken.id}


def test_an_executor_names_no_task_that_cannot_run_here(real_workplace: Workplace):
    """Else it would be a suspect, should the process die of another one."""
    unknown = claim_of(1, path="shop.tasks.renamed")

    assert isinstance(executed(real_workplace, unknown), Snoozed)
    assert real_workplace.slots.started == set()


@pytest.mark.parametrize(("path", "has_succeeded"), [("nothing", True), ("fail", False)])
def test_only_a_success_lets_nobody_look_for_connections(
    attempts, monkeypatch, path, has_succeeded
):
    told: list[dict[str, bool]] = []
    monkeypatch.setattr(
        making, "clean_connections", lambda **asked: told.append(asked) or []
    )

    attempts.make(claim_of(1, path=f"tests.testapp.tasks.{path}"))

    assert {"was_interrupted": False, "has_succeeded": has_succeeded} in told


def test_a_transaction_left_open_is_rolled_back_and_named(transactional_db):
    transaction.atomic().__enter__()
    tasks.Account.objects.create(name="never committed")

    left_open = clean_connections()

    assert left_open == ["default"]
    assert not tasks.Account.objects.exists()


def test_autocommit_left_off_is_a_transaction_left_open(transactional_db):
    tasks.Account.objects.exists()
    transaction.set_autocommit(False)
    tasks.Account.objects.create(name="never committed")

    left_open = clean_connections()

    assert left_open == ["default"]
    assert transaction.get_autocommit()
    assert not tasks.Account.objects.exists()


def test_autocommit_that_a_caller_left_off_is_the_callers(transactional_db):
    transaction.set_autocommit(False)
    tasks.Account.objects.create(name="of the caller")

    with callers_transactions():
        transaction.atomic().__enter__()
        tasks.Account.objects.create(name="never committed")
        left_open = clean_connections()
    transaction.commit()
    transaction.set_autocommit(True)

    assert left_open == ["default"]
    assert tasks.Account.objects.get().name == "of the caller"


def test_a_transaction_begun_behind_djangos_back_is_one_left_open(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    tasks.Account.objects.create(name="never committed")

    left_open = clean_connections()

    assert left_open == ["default"]
    assert not tasks.Account.objects.exists()


def test_a_connection_closed_behind_djangos_back_is_replaced(
    transactional_db, monkeypatch
):
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    connection.ensure_connection()
    connection.connection.close()

    left_open = clean_connections()

    assert left_open == []
    assert not tasks.Account.objects.exists()


def test_what_a_task_has_put_in_place_of_a_connection_is_replaced(transactional_db):
    connection.close()
    connection.connection = object()

    left_open = clean_connections()

    assert left_open == []
    assert not tasks.Account.objects.exists()


def test_blocks_that_a_task_has_left_behind_are_in_nobodys_way(transactional_db):
    with transaction.atomic():
        tasks.Account.objects.create(name="committed")
        connection.in_atomic_block = False

    left_open = clean_connections()

    assert left_open == []
    with transaction.atomic(durable=True):
        assert tasks.Account.objects.exists()


@pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask")
def test_a_session_in_which_no_attempt_could_be_prepared_is_replaced(
    attempts, claim, monkeypatch
):
    def refuse(claim: Claim) -> bool:
        connection.ensure_connection()
        spoiled.append(connection.connection)
        raise InternalError("cannot execute UPDATE in a read-only transaction")

    spoiled: list[object] = []
    never_twice.enqueue_many([((), {}), ((), {})])
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    with monkeypatch.context() as patched:
        patched.setattr(attempts._workplace.store, "begin", refuse)
        assert isinstance(attempts.make(claim()).settlement.outcome, Snoozed)

    attempted = attempts.make(claim())

    assert isinstance(attempted.settlement.outcome, Succeeded)
    assert [connection.connection] != spoiled


@pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask")
def test_a_cancelled_task_that_cannot_be_prepared_ends(attempts, claim, monkeypatch):
    """It would come back at once, over and over, while that lasts."""

    def refuse(claim: Claim) -> bool:
        raise InternalError("cannot execute UPDATE in a read-only transaction")

    never_twice.enqueue()
    monkeypatch.setattr(attempts._workplace.store, "begin", refuse)

    attempted = attempts.make(claim()._replace(cancel_requested=True))

    assert isinstance(attempted.settlement.outcome, Cancelled)


def test_what_breaks_its_attempt_leaves_no_transaction_to_the_next(
    attempts, claim, monkeypatch
):
    def leave_open_and_break(*told: object) -> None:
        transaction.set_autocommit(False)
        raise SystemExit(3)

    tasks.nothing.enqueue_many([((), {}), ((), {})])
    with monkeypatch.context() as broken:
        broken.setattr(attempts, "_performed", leave_open_and_break)
        outcomes = [attempts.make(claim()).settlement.outcome]

    outcomes.append(attempts.make(claim()).settlement.outcome)

    assert list(map(type, outcomes)) == [Failed, Succeeded]


def test_a_clean_connection_is_kept_open(transactional_db, monkeypatch):
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    tasks.Account.objects.exists()
    before = connection.connection

    left_open = clean_connections()

    assert left_open == []
    assert connection.connection is before
    assert before is not None


def test_a_worker_keeps_its_connections_unless_the_site_gave_them_an_age(monkeypatch):
    configured = {
        "default": {"CONN_MAX_AGE": 0},
        "aged": {"CONN_MAX_AGE": 600},
        "pooled": {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": True}},
    }
    monkeypatch.setattr(connections, "settings", configured)

    keep_connections()

    ages = {alias: each["CONN_MAX_AGE"] for alias, each in configured.items()}
    assert ages == {"default": None, "aged": 600, "pooled": 0}


def test_what_waited_until_the_lease_may_have_ended_is_not_started(
    real_workplace: Workplace, claim
):
    tasks.add.enqueue(1)
    attempts = Attempts(real_workplace, may_start=lambda: False)

    settlement, *_ = attempts.make(claim())

    assert settlement.outcome == Snoozed(timedelta())


def test_metadata_that_could_not_be_stored_again_end_no_thread(attempts, claim, caplog):
    tasks.nothing.enqueue()
    TaskRow.objects.update(metadata='{"a": NaN}')

    attempted = attempts.make(claim())

    assert attempted.settlement.outcome == Succeeded(None)
    assert attempted.settlement.metadata is None
    assert "its metadata is not stored" in caplog.text


def test_attempts_are_counted_past_the_names_of_workers_that_are_kept(attempts, claim):
    tasks.fail.using(max_attempts=150).enqueue()
    TaskRow.objects.update(attempt=149, worker_ids=json.dumps(["anna"] * 100))

    attempted = attempts.make(claim())

    assert isinstance(attempted.settlement.outcome, Failed)
    assert attempted.result.attempts == 150


def test_a_call_that_a_database_refuses_fails_and_is_no_outage(attempts, claim):
    tasks.nothing.enqueue()
    options = {"rate": [["a"], "1/s"]}
    TaskRow.objects.update(payload=dump_call([], {}, ending=dump_ending({}, options)))

    attempted = attempts.make(claim())

    assert isinstance(attempted.settlement.outcome, Failed)


@pytest.mark.parametrize("payload", ['{"args": 5, "kwargs": {}}', "[" * 100_000])
def test_a_call_that_nobody_wrote_fails(attempts, claim, payload):
    tasks.nothing.enqueue()
    TaskRow.objects.update(payload=payload)

    outcome = attempts.make(claim()).settlement.outcome

    assert isinstance(outcome, Failed)
    assert "The stored call cannot be read" in outcome.error.traceback
