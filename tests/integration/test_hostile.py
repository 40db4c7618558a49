"""Nothing a task does stops a worker, or leaves a task running for ever."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.tasks import Task, TaskResultStatus

from errands.queue.living.processes import process_boot
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.capabilities import cancel
from tests.integration import hostile_tasks
from tests.integration.conftest import StartWorker
from tests.integration.processes import RARE_POLLS, eventually
from tests.testapp import tasks
from tests.testapp.models import Account

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

type PidIn = Callable[[], int]
type Expected = Mapping[str, tuple[Any, ResultStatus, str]]

INNOCENT = 50
NUL = "nul\0 and \ud800 surrogate"


def crashing() -> Expected:
    crashed = ResultStatus.CRASHED
    return {
        "os._exit": (hostile_tasks.exit_process.enqueue(), crashed, "exit code 3"),
        "as if done": (hostile_tasks.exit_process.enqueue(0), crashed, "exit code 0"),
        "segfault": (hostile_tasks.crash_process.enqueue(), crashed, "SIGSEGV"),
        "out of memory": (hostile_tasks.kill_process.enqueue(), crashed, "SIGKILL"),
    }


def raising() -> Expected:
    failed, nul = ResultStatus.FAILED, hostile_tasks.speak_in_nul
    return {
        "SystemExit": (tasks.leave.enqueue(), failed, "SystemExit"),
        "Ctrl-C": (tasks.interrupt_from_keyboard.enqueue(), failed, "KeyboardInterrupt"),
        "autocommit left off": (
            hostile_tasks.leave_autocommit_off.enqueue(),
            failed,
            "inside a transaction of default",
        ),
        "20 MB": (hostile_tasks.return_too_much.enqueue(), failed, "Write a file"),
        "no __str__": (hostile_tasks.raise_unprintable.enqueue(), failed, "Unprintable"),
        "no class": (hostile_tasks.raise_unclassifiable.enqueue(), failed, "no class"),
        "no attributes": (
            hostile_tasks.raise_untouchable.enqueue(),
            failed,
            "SystemExit",
        ),
        "NUL raised": (nul.enqueue(NUL, is_raised=True), failed, "nul"),
        "renamed argument": (_renamed(), failed, "unexpected keyword argument 'nmae'"),
        "deleted record": (_without_record(), ResultStatus.DISCARDED, "RecordGone"),
    }


def succeeding(directory: Path) -> Expected:
    fork, told = hostile_tasks.fork_and_return, hostile_tasks.speak_to_nobody
    nul = hostile_tasks.speak_in_nul
    return {
        "fork": (fork.enqueue(str(directory)), ResultStatus.SUCCEEDED, ""),
        "log": (hostile_tasks.break_the_log.enqueue(), ResultStatus.SUCCEEDED, ""),
        "receiver": (told.enqueue("heard"), ResultStatus.SUCCEEDED, ""),
        "factory": (
            hostile_tasks.refuse_contexts.enqueue(),
            ResultStatus.SUCCEEDED,
            "",
        ),
        "after it": (tasks.think.enqueue(1), ResultStatus.SUCCEEDED, ""),
        "connection": (
            hostile_tasks.replace_connection.enqueue(),
            ResultStatus.SUCCEEDED,
            "",
        ),
        "NUL": (nul.enqueue(NUL, is_raised=False), ResultStatus.SUCCEEDED, ""),
    }


def _renamed() -> Any:
    result = hostile_tasks.greet.enqueue(name="Anna")
    row = TaskRow.objects.get(uuid=result.id)
    payload = row.payload.replace('"name"', '"nmae"')
    TaskRow.objects.filter(uuid=result.id).update(payload=payload)
    return result


def _without_record() -> Any:
    account = Account.objects.create(name="Anna")
    result = tasks.describe.enqueue(account)
    account.delete()
    return result


def _unknown() -> Any:
    result = tasks.nothing.enqueue()
    TaskRow.objects.filter(uuid=result.id).update(path="tests.integration.gone")
    return result


@contextmanager
def table_away(name: str) -> Iterator[None]:
    """Give a table another name for a while, as a migration may."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} RENAME TO {name}_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {name}_away RENAME TO {name}")


def test_no_task_stops_a_worker_or_runs_for_ever(
    start_worker: StartWorker, tmp_path: Path
):
    unknown = _unknown()
    expected = {**raising(), **succeeding(tmp_path), **crashing()}
    innocent = tasks.add.enqueue_many([((number,), {}) for number in range(INNOCENT)])
    everything = len(expected) + INNOCENT

    worker = start_worker("--processes", "2", "--threads", "3").is_ready()
    eventually(
        lambda: ResultRow.objects.count() == everything, "everything ended", within=200
    )
    later = tasks.add.enqueue(1)
    eventually(lambda: ResultRow.objects.filter(uuid=later.id).exists(), "it goes on")
    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    for name, (result, status, told) in expected.items():
        row = ResultRow.objects.get(uuid=result.id)
        assert row.status == status, f"{name}: {row.errors}"
        assert told in row.errors, name
    for number, result in enumerate(innocent):
        result.refresh()
        assert result.is_finished, result
        assert result.status == TaskResultStatus.SUCCESSFUL, result.errors
        assert result.return_value == number + 1
    (left,) = TaskRow.objects.all()
    assert (str(left.uuid), left.state, left.attempt) == (
        unknown.id,
        TaskState.SCHEDULED,
        0,
    )
    assert not Account.objects.exists()
    nul = expected["NUL"][0]
    nul.refresh()
    assert nul.return_value == NUL


def test_a_task_that_holds_the_interpreter_for_ever_hangs_no_worker(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    options = ("--processes", "2", "--threads", "2")
    worker = start_worker(*options, LEASE_SECONDS="4").is_ready()
    neighbour = hostile_tasks.await_go.enqueue(str(tmp_path))
    pid_in()
    (tmp_path / "started").unlink()
    result = hostile_tasks.hold_the_interpreter_for_ever.enqueue(str(tmp_path))
    innocent = tasks.add.enqueue_many([((number,), {}) for number in range(INNOCENT)])

    holder = pid_in()
    eventually(lambda: not process_boot(holder), "the one that hangs is killed")
    (tmp_path / "go").touch()
    eventually(lambda: ResultRow.objects.count() == 2 + INNOCENT, "all ended")

    row = ResultRow.objects.get(uuid=result.id)
    assert (row.status, row.crashes) == (ResultStatus.CRASHED, 3)
    assert "killed because for 3 s a task had let no other thread run" in row.errors
    killed = [line for line in worker.errors.splitlines() if ": killed because" in line]
    assert len(killed) == 3, "each kill is told once"
    assert "in hold_the_interpreter_for_ever" in worker.errors
    assert "was lost" not in worker.errors
    for each in [neighbour, *innocent]:
        each.refresh()
        assert each.status == TaskResultStatus.SUCCESSFUL, each.errors
        assert ResultRow.objects.get(uuid=each.id).crashes <= 1
    later = hostile_tasks.whose_process.enqueue()
    eventually(lambda: ResultRow.objects.filter(uuid=later.id).exists(), "it goes on")


def test_a_task_past_its_timeout_ends_and_its_process_goes_on(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    start_worker("--threads", "1", TIMEOUT_GRACE_SECONDS="3600").is_ready()
    result = hostile_tasks.go_on_for_ever.enqueue(str(tmp_path))
    pid = pid_in()
    later = hostile_tasks.whose_process.enqueue()

    eventually(lambda: ResultRow.objects.count() == 2, "both ended")

    result.refresh()
    later.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class_path == "errands.exceptions.TaskTimeout"
    assert "in go_on_for_ever" in result.errors[0].traceback
    assert later.return_value == pid


@pytest.mark.parametrize(
    "blocking",
    [hostile_tasks.block_the_loop, hostile_tasks.block_the_thread_of_coroutines],
)
def test_a_coroutine_that_blocks_the_others_is_ended_with_its_process(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path, blocking: Task
):
    start_worker("--threads", "1").is_ready()
    neighbour = hostile_tasks.await_go.enqueue(str(tmp_path))
    victim = pid_in()
    (tmp_path / "started").unlink()
    result = blocking.enqueue()

    heir = pid_in()
    (tmp_path / "go").touch()
    eventually(lambda: ResultRow.objects.count() == 2, "both ended")

    result.refresh()
    neighbour.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class_path == "errands.exceptions.TaskTimeout"
    assert neighbour.return_value == heir != victim
    row = ResultRow.objects.get(uuid=neighbour.id)
    assert (row.attempt, row.crashes) == (1, 0)


def test_a_running_task_is_cancelled_as_soon_as_that_is_asked_for(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    # Nothing tells the workers of MySQL; they ask often.
    polls = {} if connection.vendor == "mysql" else RARE_POLLS
    start_worker("--threads", "1", **polls).is_ready()
    result = hostile_tasks.go_on_until_cancelled.enqueue(str(tmp_path))
    pid_in()

    assert cancel("default", result.id)
    eventually(ResultRow.objects.exists, "it ended")

    row = ResultRow.objects.get()
    assert (row.status, row.attempt) == (ResultStatus.CANCELLED, 1)


def test_a_process_without_files_gives_way_to_another(start_worker: StartWorker):
    start_worker("--threads", "1").is_ready()
    hostile_tasks.leave_files_open.enqueue()
    eventually(lambda: ResultRow.objects.count() == 1, "no file is left")
    results = tasks.think.enqueue_many([((number,), {}) for number in range(5)])

    eventually(lambda: ResultRow.objects.count() == 1 + len(results), "all ended")

    for each in results:
        each.refresh()
        assert each.status == TaskResultStatus.SUCCESSFUL


def test_a_process_that_has_lost_a_thread_gives_way_to_another(start_worker: StartWorker):
    worker = start_worker("--threads", "1").is_ready()
    hostile_tasks.end_the_heartbeat.enqueue()

    eventually(lambda: "errands-heartbeat" in worker.errors, "it is missed")
    later = hostile_tasks.whose_process.enqueue()
    eventually(lambda: ResultRow.objects.count() == 2, "both ended")

    later.refresh()
    assert later.status == TaskResultStatus.SUCCESSFUL


def test_a_process_whose_log_hangs_ends_all_the_same(start_worker: StartWorker):
    start_worker("--threads", "1", "--max-tasks", "1").is_ready()
    hostile_tasks.hang_the_log.enqueue()
    later = hostile_tasks.whose_process.enqueue()

    eventually(lambda: ResultRow.objects.count() == 2, "both ended", within=30)

    later.refresh()
    assert later.status == TaskResultStatus.SUCCESSFUL


def test_outcomes_are_kept_while_a_table_is_missing(start_worker: StartWorker):
    worker = start_worker("--threads", "1").is_ready()

    with table_away("errands_result"):
        results = tasks.add.enqueue_many([((number,), {}) for number in range(3)])
        eventually(lambda: "errands_result" in worker.errors, "the worker misses it")
    eventually(lambda: ResultRow.objects.count() == len(results), "all ended")

    for each in results:
        each.refresh()
        assert (each.status, each.attempts) == (TaskResultStatus.SUCCESSFUL, 1)
    assert not TaskRow.objects.exists()
