"""``track`` and ``step``: counting, stopping between two items, going on."""

import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import InterfaceError, connection, transaction
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext

from errands import Message
from errands.exceptions import TaskInterrupted
from errands.jobs.tracking import rows_of
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.progress import read
from errands.runs.states import State
from tests.jobs.conftest import Play
from tests.jobs.sample import Scripted
from tests.runs.engines import SharedWorker
from tests.testapp.models import Account


@pytest.fixture
def accounts(db: None) -> list[Account]:
    """Return more accounts than are read at once."""
    rows = (Account(name=str(number)) for number in range(2_500))
    return Account.objects.bulk_create(rows)


@pytest.fixture
def other_connection() -> Callable[[], None]:
    """Return a function that writes on a connection of another thread."""

    def write() -> None:
        def insert() -> None:
            Account.objects.create(name="meanwhile")
            connection.close()

        thread = threading.Thread(target=insert)
        thread.start()
        thread.join()

    return write


def test_a_queryset_is_counted_once(accounts: list[Account], play: Play) -> None:
    def script(job: Scripted) -> None:
        with CaptureQueriesContext(connection) as queries:
            names = [a.name for a in job.track(Account.objects.order_by("pk"))]
        asked = [q["sql"] for q in queries if "testapp_account" in q["sql"]]
        assert names == [account.name for account in accounts]
        assert len([sql for sql in asked if "COUNT" in sql]) == 1

    run = play(script)

    assert run.state == State.SUCCEEDED, run.error_message
    assert (read(run.pk).current, read(run.pk).total) == (2_500, 2_500)


@pytest.mark.parametrize(
    ("items", "total", "expected"),
    [([1, 2], None, 2), (iter([1, 2]), None, None), (iter([1, 2]), 2, 2), ([], None, 0)],
)
def test_what_has_a_length_needs_no_total(
    items: Any, total: int | None, expected: int | None, play: Play
) -> None:
    totals: list[int | None] = []

    def script(job: Scripted) -> None:
        totals.extend(job.progress.total for _ in job.track(items, total=total))
        totals.append(job.progress.total)

    play(script)

    assert set(totals) == {expected}


@pytest.mark.parametrize("total", ["2", [].__len__], ids=["text", "method"])
def test_a_total_that_is_no_number_is_refused_by_name(total: Any, play: Play) -> None:
    told: list[str] = []

    def script(job: Scripted) -> None:
        for step in (
            lambda: list(job.track([1], total=total)),
            lambda: list(job.step("x").track([1], cursor=str, total=total)),
        ):
            with pytest.raises(TypeError) as refusal:
                step()
            told.append(str(refusal.value))

    play(script)

    assert told == [f"total is {total!r:.50}; it takes a number, or None."] * 2


def test_two_tracks_share_one_bar_that_never_goes_back(play: Play) -> None:
    totals: list[int | None] = []

    def script(job: Scripted) -> None:
        job.progress.total = 4
        for items in ([1, 2], [3, 4]):
            totals.extend(job.progress.total for _ in job.track(items))

    play(script)

    assert totals == [4, 4, 4, 4]


def test_a_job_stops_between_two_items_and_is_given_back_uncharged(
    play: Play, worker: SharedWorker
) -> None:
    done = []

    def script(job: Scripted) -> None:
        for item in job.track(range(3)):
            done.append(item)
            worker.control.should_stop = True

    run = play(script)

    assert done == [0]
    assert (run.state, run.is_interrupted) == (State.QUEUED, True)


def test_a_job_may_write_while_others_write_and_its_rows_are_half_read(
    transactional_db: None, other_connection: Callable[[], None]
) -> None:
    Account.objects.bulk_create(Account(name=str(n)) for n in range(4_500))
    rows = iter(rows_of(Account.objects.order_by("pk")))
    first = next(rows)

    other_connection()
    first.name = "changed"
    first.save()

    assert Account.objects.filter(name="changed").count() == 1
    assert len(list(rows)) == 4_499


def test_leaving_half_way_leaves_no_connection_and_no_thread(
    transactional_db: None,
) -> None:
    Account.objects.bulk_create(Account(name=str(n)) for n in range(4_500))
    rows = iter(rows_of(Account.objects.order_by("pk")))
    next(rows)

    rows.close()  # type: ignore[attr-defined]

    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("errands-track")]


def test_rows_read_in_a_transaction_include_its_own_writes(
    transactional_db: None,
) -> None:
    with transaction.atomic():
        Account.objects.create(name="uncommitted")

        assert [row.name for row in rows_of(Account.objects.all())] == ["uncommitted"]


def test_a_step_goes_on_after_the_last_finished_item(
    click: HttpRequest, worker: SharedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    days, done = [date(2013, 1, 1) + timedelta(n) for n in range(4)], []

    def script(job: Scripted) -> Message:
        with job.step("import", title="Importing") as step:
            left = [day for day in days if step.cursor is None or day > step.cursor]
            for day in step.track(left, cursor=lambda day: day):
                done.append(day)
                worker.control.should_stop = len(done) == 2
        return Message("done")

    monkeypatch.setattr(Scripted, "script", staticmethod(script), raising=False)
    run = Scripted.start(click)
    worker.drain()
    run.refresh_from_db()
    between = run.state, run.is_interrupted
    worker.control.should_stop = False
    worker.store.stage()
    worker.drain()

    run.refresh_from_db()
    assert between == (State.QUEUED, True)
    assert run.state == State.SUCCEEDED
    assert done == days
    assert (read(run.pk).current, read(run.pk).total) == (4, 4)


def test_a_step_that_tracks_page_after_page_counts_each_item_once(play: Play) -> None:
    def script(job: Scripted) -> None:
        with job.step("import") as step:
            for page in ([1, 2], [3, 4], [5]):
                list(step.track(page, cursor=lambda number: number))

    run = play(script)

    assert (read(run.pk).current, read(run.pk).total) == (5, 5)


def test_an_item_that_raises_is_not_counted_as_finished(play: Play) -> None:
    def script(job: Scripted) -> None:
        with job.step("import") as step:
            for number in step.track([1, 2, 3], cursor=lambda number: number):
                if number == 3:
                    raise ValueError(number)

    run = play(script)

    assert '"cursor": 2' in run.checkpoint


def test_an_outage_at_the_checkpoint_of_an_interruption_fails_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*args: object, **fields: object) -> None:
        raise InterfaceError("connection already closed")

    def script(job: Scripted) -> None:
        with job.step("import") as step:
            step.reach(7)
            monkeypatch.setattr(Possession, "write", write)
            raise TaskInterrupted("The worker is stopping.")

    assert play(script).state == State.QUEUED


def test_a_zombie_writes_no_checkpoint(play: Play) -> None:
    def script(job: Scripted) -> None:
        with job.step("import") as step:
            Run.objects.filter(pk=job.run.pk).update(task_id="another")
            step.reach(7)

    run = play(script)

    assert (run.checkpoint, run.state) == ("", State.RUNNING)
