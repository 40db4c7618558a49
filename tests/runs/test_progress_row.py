"""Progress as it is stored: fenced, visible at once, and never in the way."""

import logging
from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection, transaction

from errands.runs import progress, progress_row
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.states import State
from errands.sidecar import Sidecar
from tests.runs.conftest import stored

type NewRun = Callable[..., Run]
type TakeOver = Callable[..., Possession]

pytestmark = pytest.mark.django_db(transaction=True)


def test_progress_is_visible_while_the_job_is_inside_a_transaction(
    possession: Possession,
) -> None:
    with transaction.atomic():
        Run.objects.update(title="Locks the row, on SQLite the whole file")
        possession.progress.total = 10
        possession.progress.advance(3)
        possession.progress.write()
        seen_inside = progress.read(possession.run.pk)
        transaction.set_rollback(True)

    assert (seen_inside.current, seen_inside.total) == (3, 10)
    assert progress.read(possession.run.pk).current == 3


def test_a_superseded_attempt_writes_no_progress(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    first = take_over(run, task_id="task", token=1)
    second = take_over(run, task_id="task", token=2)
    second.progress.advance(2)
    second.progress.write()

    first.progress.advance(100)
    first.progress.write()

    assert progress.read(run.pk).current == 2


def test_a_new_attempt_starts_over(new_run: NewRun, take_over: TakeOver) -> None:
    run = new_run()
    first = take_over(run, task_id="task", token=1)
    first.progress.status("Nearly done")
    first.progress.advance(100)
    first.progress.write()

    take_over(run, task_id="task", token=2)

    snapshot = progress.read(run.pk)
    assert (snapshot.current, snapshot.status, snapshot.attempt) == (0, "", 2)


def test_the_version_rises_with_each_write_across_attempts(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    take_over(run, task_id="task", token=1).progress.write()
    before = progress.read(run.pk).version

    take_over(run, task_id="task", token=2)

    assert progress.read(run.pk).version == before + 1


def test_a_later_dispatch_outranks_any_token(
    new_run: NewRun, take_over: TakeOver
) -> None:
    run = new_run()
    first = take_over(run, task_id="task", token=50)
    Run.objects.update(dispatch=2, task_id=None, token=0)
    take_over(run, task_id="next", token=1, dispatch=2)

    first.progress.advance(100)
    first.progress.write()

    assert progress.read(run.pk).current == 0


def test_progress_that_cannot_be_written_is_logged_once_and_fails_nothing(
    possession: Possession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def locked(sidecar: Sidecar, sql: str, params: object = ()) -> int:
        raise DatabaseError("database is locked")

    monkeypatch.setattr(Sidecar, "update", locked)

    with caplog.at_level(logging.WARNING, logger="errands.runs"):
        possession.progress.write()
        possession.progress.write()
        possession.succeed()

    assert caplog.messages == [f"Run {possession.run.pk}: progress not written"]
    assert stored(possession.run.pk).state == State.SUCCEEDED


def test_a_count_no_column_holds_fails_nothing(possession: Possession) -> None:
    possession.progress.advance(10**30)

    possession.succeed()

    assert stored(possession.run.pk).state == State.SUCCEEDED


def test_progress_that_cannot_be_read_is_empty(
    possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    possession.progress.advance(3)
    possession.progress.write()

    def away(sidecar: Sidecar, sql: str, params: object = ()) -> list[object]:
        raise DatabaseError("server closed the connection unexpectedly")

    monkeypatch.setattr(Sidecar, "execute", away)

    assert progress.read(possession.run.pk) == progress.Snapshot()


def test_progress_of_nothing_is_empty(new_run: NewRun) -> None:
    run = new_run()

    assert progress.read(run.pk) == progress.Snapshot()


def test_deleting_a_run_deletes_its_progress(possession: Possession) -> None:
    run_id = possession.run.pk
    possession.progress.advance(3)
    possession.progress.write()

    Run.objects.get().delete()

    assert progress_row.read_row(run_id) is None


def test_a_checkpoint_sees_a_cancellation_from_inside_a_transaction(
    possession: Possession,
) -> None:
    from errands.exceptions import TaskCancelled

    possession.run.cancel()

    with pytest.raises(TaskCancelled), transaction.atomic():
        possession.progress.flush()


def test_a_checkpoint_in_a_broken_transaction_is_not_the_end(
    possession: Possession,
) -> None:
    with transaction.atomic():
        connection.needs_rollback = True

        possession.progress.flush()

    assert stored(possession.run.pk).state == State.RUNNING
