"""Real workers: what they run, how they stop, and what survives their death."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.tasks import TaskResultStatus

from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from tests.integration import hostile_tasks
from tests.integration.conftest import StartWorker
from tests.integration.leases import end_lease, wait_for_heartbeat
from tests.integration.processes import eventually
from tests.testapp import tasks
from tests.testapp.models import Account

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    # The workers of these tests import what the test process needs not.
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

type PidIn = Callable[[], int]


def has_ended(result) -> Callable[[], bool]:
    def look() -> bool:
        result.refresh()
        return result.is_finished

    return look


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def killed_while_it_holds(pid_in: PidIn, directory: Path) -> tuple[int, int, Any]:
    """Kill the child that runs a task; return it, who ran that again, and its result."""
    result = hostile_tasks.hold.enqueue(str(directory))
    child = pid_in()
    (directory / "started").unlink()
    os.kill(child, signal.SIGKILL)
    heir = pid_in()
    (directory / "go").touch()
    eventually(has_ended(result), "the task ended")
    return child, heir, result


def test_a_burst_runs_everything_counts_it_and_ends(start_worker: StartWorker):
    results = tasks.add.enqueue_many([((number,), {}) for number in range(300)])
    failed = tasks.fail_once.enqueue()

    worker = start_worker("--burst", "--processes", "2")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "300 succeeded, 1 failed"
    for number, result in enumerate(results):
        result.refresh()
        assert result.return_value == number + 1
    failed.refresh()
    assert failed.status == TaskResultStatus.FAILED
    assert not TaskRow.objects.exists()


@pytest.mark.parametrize(
    ("closed", "environment"),
    [
        ("0>&-", {}),
        ("1>&-", {}),
        ("2>&-", {}),
        ("0>&- 1>&- 2>&-", {"WITHOUT_FORK": "1"}),
    ],
)
def test_a_worker_without_standard_streams_works(
    start_worker: StartWorker, closed: str, environment: dict[str, str]
):
    result = hostile_tasks.use_every_standard_stream.enqueue()

    worker = start_worker("--burst", redirections=closed, **environment)

    assert worker.ends() == 0, worker.errors
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_a_worker_says_once_what_it_is_and_that_it_is_ready(start_worker: StartWorker):
    worker = start_worker("--queues", "mail,*", "--threads", "2", "--name", "anna")

    line = worker.says("ready").rstrip()

    expected = "worker anna: backend default, queues mail,*, 1 process × 2 threads, ready"
    assert line == expected


def test_a_limit_ends_the_worker_after_so_many_attempts(start_worker: StartWorker):
    tasks.nothing.enqueue_many([((), {})] * 7)

    worker = start_worker("--limit", "5", "--processes", "2")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "5 succeeded, 0 failed"
    assert TaskRow.objects.count() == 2


def test_attempts_that_end_their_process_count_for_a_limit(start_worker: StartWorker):
    hostile_tasks.exit_process.enqueue()
    tasks.nothing.using(run_after=timedelta(hours=1)).enqueue()

    worker = start_worker("--limit", "1")

    assert worker.ends() == 0, worker.errors


def test_attempts_that_were_settled_before_a_process_died_count_once(
    start_worker: StartWorker,
):
    tasks.nothing.using(priority=2).enqueue_many([((), {})] * 2)
    hostile_tasks.exit_process.using(priority=1).enqueue()
    tasks.nothing.enqueue_many([((), {})] * 3)

    worker = start_worker("--limit", "4", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    # Fewer, where it died between settling the first two and counting them.
    assert TaskRow.objects.filter(state=TaskState.READY).count() <= 2


def test_what_a_task_raises_fails_the_task_and_never_the_worker(
    start_worker: StartWorker,
):
    left, interrupted = tasks.leave.enqueue(), tasks.interrupt_from_keyboard.enqueue()
    innocent = tasks.add.enqueue(1)

    worker = start_worker("--burst", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "1 succeeded, 2 failed"
    for result in (left, interrupted, innocent):
        result.refresh()
    assert left.errors[0].exception_class is SystemExit
    assert interrupted.errors[0].exception_class is KeyboardInterrupt
    assert innocent.return_value == 2


def test_receivers_that_raise_change_nothing(start_worker: StartWorker):
    result = hostile_tasks.speak_to_nobody.enqueue("heard")

    worker = start_worker("--burst")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "1 succeeded, 0 failed"
    assert worker.errors.count("a receiver that raises") >= 2
    result.refresh()
    assert result.return_value == "heard"


def test_a_success_inside_a_transaction_that_nobody_ended_is_a_failure(
    start_worker: StartWorker,
):
    result = hostile_tasks.leave_transaction_open.enqueue()
    innocent = tasks.nothing.enqueue()

    worker = start_worker("--burst", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    result.refresh()
    innocent.refresh()
    assert "inside a transaction of default" in result.errors[0].traceback
    assert not Account.objects.exists()
    assert innocent.status == TaskResultStatus.SUCCESSFUL


def test_a_language_left_behind_is_gone_in_the_next_task(start_worker: StartWorker):
    hostile_tasks.leave_language_behind.enqueue()
    result = tasks.language_and_zone.enqueue()

    worker = start_worker("--burst", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    result.refresh()
    assert result.return_value == ["en", "Europe/Vienna"]


def test_a_fork_that_comes_back_from_its_task_ends_there(
    start_worker: StartWorker, tmp_path: Path
):
    result = hostile_tasks.fork_and_return.enqueue(str(tmp_path))
    innocent = tasks.nothing.enqueue()

    worker = start_worker("--burst", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    assert (tmp_path / "status").read_text() == "0"
    result.refresh()
    assert result.return_value > 0
    innocent.refresh()
    assert innocent.status == TaskResultStatus.SUCCESSFUL
    assert ResultRow.objects.count() == 2


def test_a_process_that_a_task_forked_ends_by_sigterm(start_worker: StartWorker):
    result = hostile_tasks.terminate_fork.enqueue()

    worker = start_worker("--burst")

    assert worker.ends() == 0, worker.errors
    result.refresh()
    assert result.return_value == -signal.SIGTERM


def test_sigterm_lets_a_running_task_finish(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker().is_ready()
    result = hostile_tasks.hold_when_told_to_stop.enqueue(str(tmp_path))
    pid = pid_in()

    worker.ask_to_stop()
    worker.says("stopping")
    eventually((tmp_path / "told").exists, "its child has the order")
    later = tasks.nothing.enqueue()
    (tmp_path / "go").touch()

    assert worker.ends() == 0, worker.errors
    result.refresh()
    assert result.return_value == pid
    later.refresh()
    assert later.status == TaskResultStatus.READY


def test_sigterm_interrupts_a_task_at_its_checkpoint_and_charges_nothing(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker().is_ready()
    result = hostile_tasks.hold_politely.enqueue(str(tmp_path))
    pid_in()

    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    row = TaskRow.objects.get()
    assert (row.state, row.attempt, row.crashes) == (TaskState.READY, 0, 0)
    result.refresh()
    assert result.errors == []


def test_a_task_past_the_grace_is_given_back_uncharged(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker("--grace", "0.2").is_ready()
    hostile_tasks.hold.enqueue(str(tmp_path))
    pid_in()

    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    row = TaskRow.objects.get()
    assert (row.state, row.attempt, row.crashes) == (TaskState.READY, 0, 0)


def test_a_second_sigterm_stops_at_once(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker("--grace", "3600").is_ready()
    hostile_tasks.hold.enqueue(str(tmp_path))
    pid_in()

    worker.ask_to_stop()
    worker.says("stopping")
    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    assert TaskRow.objects.get().state == TaskState.READY


def test_a_terminal_that_closes_lets_a_running_task_finish(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker("--grace", "3600").is_ready()
    result = hostile_tasks.hold_when_told_to_stop.enqueue(str(tmp_path))
    pid = pid_in()

    os.killpg(worker.process.pid, signal.SIGHUP)
    worker.says("stopping")
    eventually((tmp_path / "told").exists, "its child has the order")
    os.killpg(worker.process.pid, signal.SIGHUP)
    (tmp_path / "go").touch()

    assert worker.ends() == 0, worker.errors
    result.refresh()
    assert result.return_value == pid


def test_a_worker_below_nohup_outlives_its_terminal(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    worker = start_worker().is_ready()
    signal.signal(signal.SIGHUP, before)
    result = hostile_tasks.hold.enqueue(str(tmp_path))
    pid = pid_in()

    os.killpg(worker.process.pid, signal.SIGHUP)
    (tmp_path / "go").touch()
    eventually(has_ended(result), "the task ended")
    later = tasks.nothing.enqueue()
    eventually(has_ended(later), "the same worker ran another task")

    assert (result.return_value, later.worker_ids) == (pid, result.worker_ids)


@pytest.mark.parametrize("unbuffered", ["1", ""], ids=["unbuffered", "buffered"])
def test_a_worker_whose_output_nobody_reads_stops_within_its_grace(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path, unbuffered: str
):
    worker = start_worker(hang_up_after="ready", PYTHONUNBUFFERED=unbuffered)
    worker.loses_its_reader()
    result = hostile_tasks.hold_when_told_to_stop.enqueue(str(tmp_path))
    child = pid_in()

    worker.ask_to_stop()
    eventually((tmp_path / "told").exists, "its child has the order")
    (tmp_path / "go").touch()

    assert worker.ends() == 0, worker.errors
    assert "BrokenPipeError" not in worker.errors
    assert not is_alive(child)
    result.refresh()
    assert result.return_value == child


def test_a_worker_that_nobody_reads_replaces_its_dead_processes(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker(hang_up_after="ready", PYTHONUNBUFFERED="")
    worker.loses_its_reader()

    child, heir, result = killed_while_it_holds(pid_in, tmp_path)
    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    assert heir != child
    assert result.return_value == heir


def test_a_worker_stops_when_its_lifeline_ends(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker("--lifeline").is_ready()
    hostile_tasks.hold_politely.enqueue(str(tmp_path))
    pid_in()

    worker.end_lifeline()

    assert worker.ends() == 0, worker.errors
    assert TaskRow.objects.get().state == TaskState.READY


def test_children_stop_when_their_supervisor_is_killed(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker().is_ready()
    hostile_tasks.hold_politely.enqueue(str(tmp_path))
    child = pid_in()

    worker.process.kill()

    eventually(lambda: not is_alive(child), "the child ended")
    row = TaskRow.objects.get()
    assert (row.state, row.attempt, row.crashes) == (TaskState.READY, 0, 0)


def test_a_worker_that_never_had_a_database_can_be_stopped(start_worker: StartWorker):
    worker = start_worker(ERRANDS_TEST_DATABASE_NAME="missing/errands")
    eventually(lambda: "heartbeat: waiting for" in worker.errors, "it waits")

    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors


def test_a_killed_child_is_replaced_and_its_task_runs_again(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker("--threads", "1").is_ready()

    child, heir, result = killed_while_it_holds(pid_in, tmp_path)

    assert heir != child
    assert result.return_value == heir
    assert ResultRow.objects.get().crashes == 1
    assert "killed by signal 9 (SIGKILL)" in worker.errors


@pytest.mark.parametrize(
    ("poison", "cause"),
    [
        (hostile_tasks.exit_process, "exit code 3"),
        (hostile_tasks.crash_process, "killed by signal 11 (SIGSEGV)"),
        (hostile_tasks.kill_process, "killed by signal 9 (SIGKILL)"),
    ],
    ids=["exit", "segmentation fault", "kill"],
)
def test_a_poison_pill_ends_after_three_processes_and_its_neighbours_succeed(
    start_worker: StartWorker, poison, cause: str
):
    result = poison.enqueue()
    tasks.nothing.enqueue_many([((), {})] * 20)

    worker = start_worker("--burst", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "20 succeeded, 1 failed"
    result.refresh()
    assert len(result.errors) == 3
    assert cause in result.errors[-1].traceback
    assert ResultRow.objects.get(uuid=result.id).status == ResultStatus.CRASHED


def test_a_frozen_worker_changes_nothing_the_next_one_wrote_and_goes_on(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    frozen = start_worker("--name", "frozen", SWEEP_SECONDS="3600").is_ready()
    result = hostile_tasks.hold.enqueue(str(tmp_path))
    child = pid_in()
    (tmp_path / "started").unlink()
    wait_for_heartbeat(child)

    os.kill(child, signal.SIGSTOP)
    end_lease(child)
    second = start_worker("--name", "second").is_ready()
    heir = pid_in()
    (tmp_path / "go").touch()
    eventually(has_ended(result), "the second worker finished the task")
    written = ResultRow.objects.values().get()
    os.kill(child, signal.SIGCONT)
    eventually(lambda: "the lease was lost" in frozen.errors, "the zombie was refused")
    eventually(lambda: "going on afresh" in frozen.errors, "it took a fresh id")

    assert result.return_value == heir
    assert ResultRow.objects.values().get() == written
    second.kill_all()
    later = tasks.nothing.enqueue()
    eventually(has_ended(later), "the first worker ran another task")
    assert later.worker_ids == ["frozen"]


def test_a_process_prints_its_stacks_at_a_signal_and_goes_on(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker().is_ready()
    result = hostile_tasks.hold.enqueue(str(tmp_path))
    child = pid_in()

    os.kill(child, signal.SIGUSR1)
    eventually(lambda: "in hold" in worker.errors, "its stacks are printed")
    (tmp_path / "go").touch()
    eventually(has_ended(result), "the task ended")

    assert result.return_value == child


def test_a_supervisor_prints_its_stack_at_a_signal_and_goes_on(
    start_worker: StartWorker,
):
    worker = start_worker().is_ready()

    worker.process.send_signal(signal.SIGUSR1)
    eventually(lambda: "supervisor.py" in worker.errors, "its stack is printed")
    result = tasks.nothing.enqueue()
    eventually(has_ended(result), "a task was run")
    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors


def test_a_worker_works_where_the_site_has_put_no_file_for_its_standard_error(
    start_worker: StartWorker, tmp_path: Path
):
    (tmp_path / "capturing_settings.py").write_text(
        "import io, sys\n"
        "from tests.integration.settings import *\n"
        "sys.stderr = io.StringIO()\n"
    )
    result = tasks.nothing.enqueue()

    worker = start_worker(
        "--burst",
        DJANGO_SETTINGS_MODULE="capturing_settings",
        PYTHONPATH=os.pathsep.join(["src", ".", str(tmp_path)]),
    )

    assert worker.ends() == 0, worker.errors
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_a_worker_that_cannot_load_its_tasks_ends_and_says_why(
    start_worker: StartWorker, tmp_path: Path
):
    (tmp_path / "broken_settings.py").write_text(
        "from tests.integration.settings import *\n"
        "ERRANDS = {'IMPORTS': ['no_such_module']}\n"
    )

    worker = start_worker(
        DJANGO_SETTINGS_MODULE="broken_settings",
        PYTHONPATH=os.pathsep.join(["src", ".", str(tmp_path)]),
    )

    assert worker.ends() == 1
    assert "No module named 'no_such_module'" in worker.errors
    assert "cannot be loaded: No module named 'no_such_module'. Its" in worker.errors
