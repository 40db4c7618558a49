"""A site with ``USE_TZ = False``: its own time is local, the queue's is not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from errands import instants
from errands.doctor import database, work
from errands.doctor.findings import Level
from errands.queue.living import liveness, rescuing
from errands.queue.models import QueueRow, ResultRow, TaskRow
from errands.queue.states import TaskState
from errands.tasks.outcomes import AttemptError, Retry, Snoozed
from errands.testing import assert_enqueued, drain, travel_to
from tests.testapp import tasks
from tests.testapp.jobs import Greet

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
DAY, HALF_AN_HOUR = timedelta(days=1), timedelta(minutes=30)
ERROR = AttemptError.of(ValueError("no luck"))
IN_UTC = {
    "postgresql": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', {})",
    "mysql": "DATE_FORMAT({}, '%Y-%m-%d %H:%i:%S')",
}
CHANGES = [
    datetime(2026, 10, 24, 12, tzinfo=UTC),
    datetime(2026, 10, 24, 0, 30, tzinfo=UTC),
    datetime(2026, 10, 24, 1, 30, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    datetime(2027, 3, 27, 12, tzinfo=UTC),
    datetime(2027, 3, 27, 1, 30, tzinfo=UTC),
]


@pytest.fixture(autouse=True, params=[BERLIN, NEW_YORK], ids=str)
def zone(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[ZoneInfo]:
    """Make the site's time that of a zone; connections know it when they are made."""
    with override_settings(USE_TZ=False, TIME_ZONE=request.param.key):
        connection.close()
        yield request.param
        connection.close()


berlin = pytest.mark.parametrize("zone", [BERLIN], indirect=True, ids=str)


def stored(column: str, table: str = "errands_task") -> datetime:
    """Return what the only row holds, read past Django and the queue."""
    with connection.cursor() as cursor:
        told = IN_UTC[connection.vendor].format(column)
        cursor.execute(f"SELECT {told} FROM {table}")
        ((text,),) = cursor.fetchall()
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def is_now(value: datetime, zone: ZoneInfo) -> bool:
    """Return whether a datetime of the site is some seconds ago."""
    local = datetime.now(zone).replace(tzinfo=None)
    return timedelta(seconds=-1) < local - value < timedelta(minutes=1)


def test_what_is_stored_is_utc(worker):
    tasks.nothing.enqueue()
    before = datetime.now(UTC) - timedelta(minutes=1)

    assert before < stored("enqueued_at") < datetime.now(UTC)

    (claim,) = worker.claim()

    assert before < stored("claimed_at") < datetime.now(UTC) + timedelta(seconds=1)
    assert worker.succeed([claim])
    assert before < stored("enqueued_at", "errands_result") < datetime.now(UTC)
    assert before < stored("finished_at", "errands_result") < datetime.now(UTC)


@pytest.mark.parametrize("kind", ["naive", "aware", "delay"])
def test_a_task_runs_at_the_instant_that_was_meant(zone, store, worker, kind):
    due_at = (datetime.now(zone) + HALF_AN_HOUR).replace(microsecond=0)
    run_after = {
        "naive": due_at.replace(tzinfo=None),
        "aware": due_at.astimezone(ZoneInfo("Asia/Tokyo")),
        "delay": HALF_AN_HOUR,
    }[kind]

    enqueued = tasks.nothing.using(run_after=run_after).enqueue()

    read = tasks.nothing.get_result(enqueued.id)
    assert abs(stored("run_at") - due_at) < timedelta(minutes=1)
    assert read.task.run_after.tzinfo is None
    assert abs(read.task.run_after - due_at.replace(tzinfo=None)) < timedelta(minutes=1)
    assert not store.stage()
    # The clock of SQLite has milliseconds, and so may be behind ours.
    assert timedelta(minutes=29) < store.next_due() < timedelta(minutes=31)
    TaskRow.objects.update(run_at=datetime.now(UTC) - timedelta(seconds=1))
    assert store.stage() == 1
    assert len(worker.claim()) == 1


@berlin
@pytest.mark.parametrize("now", CHANGES, ids=str)
def test_a_delay_is_as_long_as_it_says_across_a_change_of_the_clocks(now):
    with travel_to(now):
        enqueued = tasks.nothing.using(run_after=DAY).enqueue()

        assert_enqueued(tasks.nothing, run_after=DAY)
        assert_enqueued(tasks.nothing, run_after=now + DAY)

    local = (now + DAY).astimezone(BERLIN).replace(tzinfo=None)
    assert stored("enqueued_at") == now
    assert stored("run_at") == now + DAY
    assert tasks.nothing.get_result(enqueued.id).task.run_after == local
    assert TaskRow.objects.get().run_at == local


@berlin
@pytest.mark.parametrize("outcome", [Retry(DAY, ERROR), Snoozed(DAY)], ids=str)
@pytest.mark.parametrize("now", CHANGES, ids=str)
def test_so_is_the_pause_before_the_next_attempt(worker, outcome, now):
    with travel_to(now):
        tasks.nothing.enqueue()
        worker.settle(worker.claim(), outcome)

    assert TaskRow.objects.get().state == TaskState.SCHEDULED
    assert stored("run_at") == now + DAY


@berlin
def test_an_instant_of_the_hour_that_comes_twice_is_kept_by_reading_and_writing(store):
    late = datetime(2026, 10, 25, 2, 30, fold=1)  # noqa: DTZ001
    enqueued = tasks.nothing.using(run_after=late).enqueue()
    TaskRow.objects.update(state=TaskState.READY)

    assert stored("run_at") == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)

    row = TaskRow.objects.get()
    row.save()

    assert (row.run_at, row.run_at.fold) == (late, 1)
    assert stored("run_at") == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert tasks.nothing.get_result(enqueued.id).task.run_after.fold == 1


def test_a_released_task_is_due_when_it_was(worker):
    due_at = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    tasks.nothing.using(run_after=due_at).enqueue()
    TaskRow.objects.update(state=TaskState.READY)

    worker.store.release(worker.claim())

    assert stored("run_at") == due_at


def test_a_result_tells_local_time(zone):
    enqueued = tasks.nothing.enqueue()
    drain()

    read = tasks.nothing.get_result(enqueued.id)

    told = [enqueued.enqueued_at, read.enqueued_at, read.started_at, read.finished_at]
    assert all(is_now(value, zone) for value in told)
    assert is_now(read.last_attempted_at, zone)


def test_so_does_the_result_of_a_running_task(zone, store, worker):
    tasks.nothing.enqueue()
    (claim,) = worker.claim()

    result = store.backend.get_result(str(claim.uuid))

    assert is_now(result.started_at, zone)


def test_the_models_read_and_compare_local_time(zone, store):
    tasks.nothing.enqueue()
    drain()
    store.pause("mail")

    now = timezone.now()

    result = ResultRow.objects.get(finished_at__lte=now, finished_at__gt=now - DAY / 48)
    assert is_now(result.finished_at, zone)
    assert is_now(QueueRow.objects.get().paused_at, zone)
    assert not ResultRow.objects.filter(finished_at__gt=now)
    assert ResultRow.objects.filter(finished_at__lte=datetime.now(UTC))


def test_the_listing_says_since_when_a_task_waits_in_local_time(zone):
    said = StringIO()
    tasks.nothing.enqueue()

    call_command("queue", stdout=said)

    *_, day, hour = said.getvalue().split()
    assert is_now(datetime.fromisoformat(f"{day} {hour}"), zone)


def test_the_doctor_finds_both_clocks_right_and_no_task_that_waits_long():
    tasks.nothing.enqueue()

    assert not [f for f in database.clock("default") if f.level != Level.OK]
    assert not list(work.queues("default"))


def test_the_doctor_says_how_long_a_task_has_waited():
    tasks.nothing.enqueue()
    five = timedelta(minutes=5)
    TaskRow.objects.update(enqueued_at=instants.now() - five)

    (finding,) = work.queues("default")

    assert "has waited for 5 minutes" in finding.text


def test_a_lease_lasts_as_long_as_it_says(worker, store):
    tasks.nothing.enqueue()
    worker.claim()

    assert worker.identity.id.hex in liveness.living(store.alias)
    assert not rescuing.rescue_lost(store)

    worker.expire()

    assert len(rescuing.rescue_lost(store)) == 1


def test_results_are_pruned_when_they_are_old_enough(settings, store):
    settings.ERRANDS = {"KEEP_SUCCEEDED": timedelta(hours=1)}
    tasks.nothing.enqueue()
    drain()

    assert store.prune() == 0

    ResultRow.objects.update(finished_at=instants.now() - timedelta(minutes=50))
    assert store.prune() == 0

    ResultRow.objects.update(finished_at=instants.now() - timedelta(minutes=70))
    assert store.prune() == 1


def test_a_result_that_is_kept_briefly_expires_then(store):
    enqueued = tasks.nothing.using(keep=HALF_AN_HOUR).enqueue()
    drain()

    assert store.prune() == 0
    assert tasks.nothing.get_result(enqueued.id).is_finished
    with travel_to(timedelta(minutes=29)):
        assert tasks.nothing.get_result(enqueued.id).is_finished

    ResultRow.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert store.prune() == 1


@berlin
@pytest.mark.parametrize("now", CHANGES, ids=str)
def test_a_job_is_put_off_for_as_long_as_it_says(now):
    with travel_to(now):
        run = Greet.using(run_after=DAY).enqueue("anna")

    assert run.run_after == (now + DAY).astimezone(BERLIN).replace(tzinfo=None)
    assert stored("run_at") == now + DAY
