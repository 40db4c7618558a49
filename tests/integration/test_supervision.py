"""Real workers whose processes die, are killed, or have done their share."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from django.tasks import TaskResultStatus

from errands.queue.living.processes import process_boot
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import TaskState
from tests.integration import hostile_tasks
from tests.integration.conftest import StartWorker
from tests.integration.processes import eventually
from tests.testapp import tasks

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

type PidIn = Callable[[], int]


class Traces:
    """What ``hold_beside_others`` has left: name, process, begin, end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def pids(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for name, pid, *_ in sorted(self._parts, key=lambda parts: int(parts[2])):
            found.setdefault(name, []).append(int(pid))
        return found

    @property
    def alone(self) -> bool:
        """Whether no two that ended were ever in one process at the same time."""
        ended = [
            (int(pid), int(begun), int(end[0]))
            for _, pid, begun, *end in self._parts
            if end
        ]
        return not any(
            one is not other and one[0] == other[0] and one[1] < other[2] < one[2]
            for one in ended
            for other in ended
        )

    @property
    def _parts(self) -> list[list[str]]:
        names = (path.name for path in self._directory.iterdir())
        return [name.split(".") for name in names if "." in name]


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    (tmp_path / "traces").mkdir()
    return Traces(tmp_path / "traces")


def hold_five(traces: Traces) -> None:
    directory = str(traces._directory)
    hostile_tasks.hold_beside_others.enqueue_many(
        [((directory, f"task{number}"), {}) for number in range(5)]
    )
    eventually(lambda: len(traces.pids) == 5, "all five run")


def test_what_ran_in_a_process_that_died_runs_again_soon_and_alone(
    start_worker: StartWorker, traces: Traces
):
    worker = start_worker("--threads", "5", LEASE_SECONDS="3600").is_ready()
    hold_five(traces)
    (victim,) = {pids[0] for pids in traces.pids.values()}
    other = tasks.nothing.enqueue()

    os.kill(victim, signal.SIGKILL)
    (traces._directory / "go").touch()
    eventually(lambda: ResultRow.objects.count() == 6, "everything ended")

    assert traces.alone
    assert all(len(pids) == 2 and victim == pids[0] for pids in traces.pids.values())
    by_name = ResultRow.objects.exclude(uuid=other.id)
    assert {row.crashes for row in by_name} == {1}
    eventually(lambda: "opened quarantine 1" in worker.errors, "it was said")


def test_slow_suspects_do_not_wait_for_each_other(
    start_worker: StartWorker, traces: Traces
):
    start_worker("--threads", "5").is_ready()
    hold_five(traces)
    (victim,) = {pids[0] for pids in traces.pids.values()}

    os.kill(victim, signal.SIGKILL)
    eventually(
        lambda: sum(len(pids) == 2 for pids in traces.pids.values()) >= 3,
        "three of them run, each in a process of its own",
    )
    again = [pids[1] for pids in traces.pids.values() if len(pids) == 2]
    (traces._directory / "go").touch()
    eventually(lambda: ResultRow.objects.count() == 5, "everything ended")

    assert len(set(again)) == len(again)
    assert traces.alone


def test_a_poison_pill_takes_its_neighbours_down_once(
    start_worker: StartWorker, traces: Traces
):
    start_worker("--threads", "6").is_ready()
    hold_five(traces)
    poison = hostile_tasks.kill_process.enqueue()
    (traces._directory / "go").touch()

    eventually(lambda: ResultRow.objects.count() == 6, "everything ended")

    neighbours = ResultRow.objects.exclude(uuid=poison.id)
    assert all(row.crashes <= 1 for row in neighbours)
    assert ResultRow.objects.get(uuid=poison.id).crashes == 3


def test_nobody_rescues_from_a_dead_child_before_its_supervisor(
    start_worker: StartWorker,
):
    """Whoever sweeps does not know what had started, and would charge everything."""
    hostile_tasks.exit_process.enqueue_many([((), {})] * 3)
    tasks.nothing.enqueue_many([((), {})] * 60)

    worker = start_worker(
        "--burst", "--processes", "2", "--threads", "1", SWEEP_SECONDS="0.005"
    )

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "60 succeeded, 3 failed"
    assert set(ResultRow.objects.values_list("path", "crashes")) == {
        (hostile_tasks.exit_process.module_path, 3),
        (tasks.nothing.module_path, 0),
    }


def test_suspects_of_a_worker_that_is_gone_are_run_by_the_next(
    start_worker: StartWorker,
):
    tasks.nothing.enqueue()
    TaskRow.objects.update(state=TaskState.SUSPECT, crashes=1)

    worker = start_worker("--burst")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "1 succeeded, 0 failed"


def test_stranded_tasks_run_again_soon_after_a_restart_on_the_same_host(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    lost = start_worker("--threads", "1", LEASE_SECONDS="3600").is_ready()
    hostile_tasks.hold.enqueue(str(tmp_path))
    pid_in()
    lost.kill_all()
    (tmp_path / "started").unlink()
    (tmp_path / "go").touch()

    start_worker("--threads", "1")
    eventually(ResultRow.objects.exists, "the task ran again")

    assert ResultRow.objects.get().crashes == 1


def test_a_process_that_has_done_its_share_is_replaced_and_nothing_is_lost(
    start_worker: StartWorker,
):
    results = hostile_tasks.whose_process.enqueue_many([((), {})] * 120)

    worker = start_worker("--burst", "--max-tasks", "50")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "120 succeeded, 0 failed"
    for result in results:
        result.refresh()
    assert len({result.return_value for result in results}) >= 3
    assert not ResultRow.objects.exclude(crashes=0, attempt=1).exists()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_process_that_somebody_else_stops_is_replaced(
    start_worker: StartWorker, processes: str
):
    worker = start_worker("--processes", processes).is_ready()
    stopped = hostile_tasks.stop_process.enqueue_many([((), {})] * 3)
    eventually(lambda: ResultRow.objects.count() == 3, "three processes were stopped")

    later = hostile_tasks.whose_process.enqueue()
    eventually(lambda: ResultRow.objects.count() == 4, "another one works")
    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    later.refresh()
    for result in stopped:
        result.refresh()
    assert later.return_value not in {result.return_value for result in stopped}
    assert not ResultRow.objects.exclude(crashes=0, attempt=1).exists()


def test_a_process_that_hangs_does_not_outlive_its_supervisor_for_long(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path
):
    worker = start_worker("--threads", "1", "--grace", "0").is_ready()
    hostile_tasks.hold_in_spite_of_all.enqueue(str(tmp_path))
    pid = pid_in()

    worker.process.kill()
    eventually(lambda: not process_boot(pid), "it ends all the same", within=30)

    (left,) = TaskRow.objects.all()
    assert left.state == TaskState.RUNNING


def test_processes_that_a_task_has_left_in_a_pool_end_with_its_process(
    start_worker: StartWorker,
):
    worker = start_worker("--threads", "1").is_ready()
    result = hostile_tasks.keep_a_pool.enqueue()
    eventually(ResultRow.objects.exists, "it ended")
    result.refresh()
    had_lived = process_boot(result.return_value)

    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    assert had_lived
    eventually(lambda: not process_boot(result.return_value), "it has gone", within=10)


def test_a_process_that_grew_too_large_is_replaced(start_worker: StartWorker):
    first = hostile_tasks.whose_process.enqueue()
    worker = start_worker("--max-rss", "1").is_ready()
    eventually(lambda: ResultRow.objects.count() == 1, "the first task ran")
    second = hostile_tasks.whose_process.enqueue()
    eventually(lambda: ResultRow.objects.count() == 2, "the second task ran")

    worker.ask_to_stop()

    assert worker.ends() == 0, worker.errors
    first.refresh()
    second.refresh()
    assert first.return_value != second.return_value


def test_replaced_processes_share_one_limit(start_worker: StartWorker):
    tasks.nothing.enqueue_many([((), {})] * 30)

    worker = start_worker("--limit", "20", "--max-tasks", "18", "--threads", "1")

    assert worker.ends() == 0, worker.errors
    assert worker.output[-1] == "20 succeeded, 0 failed"
    assert TaskRow.objects.count() == 10


def test_a_task_that_holds_the_interpreter_is_ended_with_its_process(
    start_worker: StartWorker, pid_in: PidIn, tmp_path: Path, traces: Traces
):
    start_worker("--threads", "2").is_ready()
    hostile_tasks.hold_beside_others.enqueue(str(traces._directory), "neighbour")
    eventually(lambda: traces.pids, "the neighbour runs")
    result = hostile_tasks.hold_the_interpreter.enqueue(str(tmp_path))
    victim = pid_in()
    (traces._directory / "go").touch()

    eventually(lambda: ResultRow.objects.count() == 2, "both ended")

    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class_path == "errands.exceptions.TaskTimeout"
    assert traces.pids["neighbour"][0] == victim
    assert ResultRow.objects.exclude(uuid=result.id).get().crashes == 0


def test_a_worker_hears_the_sigterm_that_its_parent_has_blocked(
    start_worker: StartWorker,
) -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        worker = start_worker("--processes", "2")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    worker.is_ready()

    worker.ask_to_stop()

    assert worker.ends() == 0
