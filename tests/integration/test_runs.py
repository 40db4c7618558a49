"""Runs survive what happens to the workers that carry them."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from errands import Run
from errands.queue.models import ResultRow, TaskRow
from errands.tasks.capabilities import cancel
from tests.integration.conftest import StartWorker
from tests.integration.leases import end_lease, wait_for_heartbeat
from tests.integration.processes import eventually
from tests.testapp import jobs
from tests.testapp.models import Account

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

LINES = "".join(f"{number}\n" for number in range(jobs.LINES))


@pytest.fixture
def owner(client: Client) -> User:
    user = User.objects.create_user("ada")
    client.force_login(user)
    return user


@pytest.fixture
def half_way(tmp_path: Path) -> Callable[[], int]:
    """Return a function that waits for a job to be half done; returns its process."""

    def wait() -> int:
        path = tmp_path / "half-way"
        eventually(lambda: path.exists() and path.read_text(), "the job was half done")
        pid = int(path.read_text())
        path.unlink()
        return pid

    return wait


def reaches(run: Run, *states: str) -> None:
    """Wait until the run is in one of the states."""

    def look() -> bool:
        run.refresh_from_db()
        return run.state in states

    eventually(look, f"run {run.state}, not {states}")


def state_of(client: Client, run: Run) -> dict:
    return client.get(f"{run.get_absolute_url()}state.json").json()


def test_a_killed_worker_is_followed_by_another_attempt_of_the_same_run(
    start_worker: StartWorker, owner, client, tmp_path, half_way
):
    run = jobs.WriteLines.using(owner=owner).enqueue(str(tmp_path))
    first = start_worker().is_ready()
    half_way()
    before = state_of(client, run)

    first.kill_all()
    while_dead = state_of(client, run)
    (tmp_path / "go").touch()
    start_worker().is_ready()
    reaches(run, "succeeded", "failed")

    after = state_of(client, run)
    assert before["state"] == while_dead["state"] == "running"
    assert before["progress"]["current"] == jobs.LINES // 2
    assert (after["state"], after["attempt"]) == ("succeeded", 2)
    assert run.results["lines.txt"].text == LINES
    assert client.get(after["links"]["download"]).getvalue().decode() == LINES


def test_a_killed_child_is_replaced_by_its_supervisor(
    start_worker: StartWorker, owner, tmp_path, half_way
):
    run = jobs.WriteLines.using(owner=owner).enqueue(str(tmp_path))
    start_worker().is_ready()

    os.kill(half_way(), signal.SIGKILL)
    (tmp_path / "go").touch()
    reaches(run, "succeeded", "failed")

    assert (run.state, run.attempt) == ("succeeded", 2)
    assert run.results["lines.txt"].text == LINES


def test_a_stopping_worker_hands_the_run_to_the_next_and_records_no_failure(
    start_worker: StartWorker, owner, client, tmp_path, half_way
):
    run = jobs.CountPolitely.using(owner=owner).enqueue(str(tmp_path))
    first = start_worker().is_ready()
    half_way()

    first.ask_to_stop()
    stopped = first.ends()
    in_between = state_of(client, run)
    (tmp_path / "go").touch()
    start_worker().is_ready()
    reaches(run, "succeeded", "failed")
    eventually(ResultRow.objects.exists, "the task was settled")

    assert stopped == 0
    assert in_between["state"] == "queued"
    assert in_between["error"] is None
    assert run.state == "succeeded"
    assert ResultRow.objects.get().errors == "[]"
    numbers = (tmp_path / "numbers").read_text().split()
    assert sorted(set(map(int, numbers))) == list(range(jobs.LINES))
    assert len(numbers) == jobs.LINES + 1, "goes on at the item it was interrupted at"


def test_a_frozen_worker_changes_nothing_that_the_second_one_wrote(
    start_worker: StartWorker, owner, tmp_path, half_way
):
    run = jobs.WriteLines.using(owner=owner).enqueue(str(tmp_path))
    frozen = start_worker("--name", "frozen", SWEEP_SECONDS="3600").is_ready()
    child = half_way()
    wait_for_heartbeat(child)
    os.killpg(frozen.process.pid, signal.SIGSTOP)
    end_lease(child)

    start_worker("--name", "second").is_ready()
    half_way()
    (tmp_path / "go").touch()
    reaches(run, "succeeded", "failed")
    eventually(ResultRow.objects.exists, "the task was settled")
    written = Run.objects.values().get()
    os.killpg(frozen.process.pid, signal.SIGCONT)
    frozen.ask_to_stop()
    frozen.ends()

    assert Run.objects.values().get() == written
    assert (run.state, run.attempt) == ("succeeded", 2)
    assert run.results["lines.txt"].text == LINES
    assert ResultRow.objects.count() == 1
    assert not TaskRow.objects.exists()
    assert "lost" in frozen.errors


def test_a_poison_job_ends_its_run_and_spares_its_neighbours(
    start_worker: StartWorker, owner
):
    poison = jobs.KillWorker.using(owner=owner).enqueue()
    account = Account.objects.create(name="Ada")
    neighbours = [jobs.Greet.using(owner=owner).enqueue(account) for _ in range(5)]

    start_worker("--threads", "2").is_ready()
    for run in [poison, *neighbours]:
        reaches(run, "succeeded", "failed")

    assert poison.state == "failed"
    assert poison.error_message
    assert [run.state for run in neighbours] == ["succeeded"] * 5


def test_a_job_whose_record_is_gone_ends_its_run(start_worker: StartWorker, owner):
    account = Account.objects.create(name="Ada")
    run = jobs.Greet.using(owner=owner).enqueue(account)
    account.delete()

    start_worker().is_ready()
    reaches(run, "succeeded", "failed")

    assert run.state == "failed"
    assert "no longer exists" in run.error_message


def test_a_run_whose_task_was_cancelled_while_waiting_ends(owner):
    run = jobs.WriteLines.using(owner=owner).enqueue("unused")

    assert cancel(run.backend, run.responsible_task)

    run.refresh_from_db()
    assert run.state == "cancelled"


def test_a_run_whose_task_is_gone_is_ended_by_a_sweep(start_worker: StartWorker, owner):
    run = jobs.WriteLines.using(owner=owner).enqueue("unused")
    TaskRow.objects.all().delete()

    start_worker().is_ready()
    reaches(run, "failed")

    assert run.error_message


def test_progress_is_visible_while_the_job_is_inside_a_transaction(
    start_worker: StartWorker, owner, client, tmp_path, half_way
):
    run = jobs.WriteLines.using(owner=owner).enqueue(str(tmp_path), in_transaction=True)
    start_worker().is_ready()
    half_way()

    inside = state_of(client, run)
    (tmp_path / "go").touch()
    reaches(run, "succeeded", "failed")

    assert inside["progress"]["current"] == jobs.LINES // 2
    assert inside["status"] == "Writing lines"
    assert run.state == "succeeded"


def test_a_running_job_is_cancelled_at_its_next_checkpoint(
    start_worker: StartWorker, owner, client, tmp_path, half_way
):
    run = jobs.CountPolitely.using(owner=owner).enqueue(str(tmp_path))
    start_worker().is_ready()
    half_way()

    answer = client.post(f"{run.get_absolute_url()}cancel")
    reaches(run, "cancelled", "failed", "succeeded")

    assert answer.status_code == 302
    assert run.state == "cancelled"
    eventually(lambda: not TaskRow.objects.exists(), "the task ended")
