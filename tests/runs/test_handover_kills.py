"""A death at every boundary of the hand-over, and what is left of the run.

A boundary is what separates two lines as far as anybody else can tell: before
and after each statement, each commit, each write to the sidecar, to the storage
and to the engine. A life is cut short at its first boundary, then, with a new
run, at its second, and so on until it lives to its end. After each death the
engine rescues what the dead worker held, the sweeps run, and a second worker
goes on. Then every run has ended, exactly once.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.tasks import task_backends

from errands.queue.living import rescuing
from errands.runs import sweeps
from errands.runs.models import Run
from errands.runs.states import State
from errands.tasks.sweeps import run_sweeps
from tests.runs import jobs
from tests.runs.engines import SharedWorker, Worker
from tests.runs.life import life, lived, start_and_perform

type NewRun = Callable[..., Run]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
    pytest.mark.torture,
]

MOST_BOUNDARIES = 400


class Ends:
    """Keeps how runs were found ended, and sees whether that ever changes."""

    def __init__(self) -> None:
        self._seen: dict[object, dict[str, Any]] = {}
        self.changed: list[dict[str, Any]] = []

    def look(self) -> None:
        """Compare every ended run with how it was when first found ended."""
        columns = ("pk", "state", "finished_at", "outcome", "error_message", "version")
        for run in Run.objects.exclude(finished_at=None).values(*columns):
            if self._seen.setdefault(run["pk"], run) != run:
                self.changed.append(run)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps take every run as left for long."""
    monkeypatch.setattr(sweeps, "DISPATCH_PATIENCE", timedelta(seconds=-60))
    monkeypatch.setattr(sweeps, "_patrol", sweeps.Patrol())


@pytest.fixture
def boundaries(worker: Worker) -> Callable[[Callable[[], None]], list[Run]]:
    """Return a function that lives a life once for each of its boundaries."""

    def die_at_each(live: Callable[[], None]) -> list[Run]:
        ends = Ends()
        for number in range(1, MOST_BOUNDARIES):
            short = life(dies_at=number)
            with lived(short):
                live()
            ends.look()
            recover(worker, ends)
            if not short.has_struck:
                break
        assert number > 10
        assert number < MOST_BOUNDARIES - 1
        assert ends.changed == []
        return list(Run.objects.all())

    return die_at_each


def recover(worker: Worker, ends: Ends) -> None:
    """Do what the living do: rescue, sweep and work, until nothing is left."""
    for _ in range(4):
        worker.rescue()
        ends.look()
        run_sweeps()
        ends.look()
        worker.drain()
        ends.look()


def test_a_job_killed_anywhere_ends_once_and_well(
    worker: Worker,
    new_run: NewRun,
    boundaries: Callable[[Callable[[], None]], list[Run]],
    site: Path,
) -> None:
    def live() -> None:
        new_run(backend=worker.alias)
        worker.drain()

    runs = boundaries(live)

    assert {run.state for run in runs} == {State.SUCCEEDED}
    assert all(run.results["orders.csv"].text == "id,total\r\n1,9.90\r\n" for run in runs)
    assert {path for path in site.rglob("*") if path.is_file()} == {
        site / result.key for run in runs for result in run.results.values()
    }


@pytest.mark.parametrize(
    "task", [jobs.explode, jobs.discard, jobs.forget], ids=lambda task: task.name
)
def test_a_job_that_fails_and_is_killed_anywhere_ends_once_as_failed(
    worker: Worker,
    new_run: NewRun,
    boundaries: Callable[[Callable[[], None]], list[Run]],
    task: Any,
) -> None:
    def live() -> None:
        new_run(task, backend=worker.alias)
        worker.drain()

    runs = boundaries(live)

    assert {run.state for run in runs} == {State.FAILED}


def test_a_run_cancelled_while_waiting_ends_once_wherever_that_is_killed(
    worker: Worker,
    new_run: NewRun,
    boundaries: Callable[[Callable[[], None]], list[Run]],
) -> None:
    def live() -> None:
        new_run(backend=worker.alias).cancel()
        worker.drain()

    runs = boundaries(live)

    assert {run.state for run in runs} == {State.CANCELLED, State.SUCCEEDED}
    assert all(run.finished_at for run in runs)


def test_a_task_cancelled_behind_the_runs_back_ends_it_once(
    worker: Worker,
    new_run: NewRun,
    boundaries: Callable[[Callable[[], None]], list[Run]],
) -> None:
    backend: Any = task_backends[worker.alias]

    def live() -> None:
        run = new_run(backend=worker.alias)
        run.refresh_from_db()
        backend.cancel(run.dispatched_task)
        worker.drain()

    runs = boundaries(live)

    assert {run.state for run in runs} == {State.CANCELLED, State.SUCCEEDED}


def test_an_interrupted_job_killed_anywhere_goes_on_and_ends_once(
    worker: Worker,
    new_run: NewRun,
    boundaries: Callable[[Callable[[], None]], list[Run]],
) -> None:
    def live() -> None:
        worker.control.should_stop = True
        new_run(jobs.work_until_stopped, backend=worker.alias)
        try:
            worker.drain()
        finally:
            worker.control.should_stop = False

    runs = boundaries(live)

    assert {run.state for run in runs} == {State.SUCCEEDED}


def test_a_poison_job_ends_once_as_failed(
    worker: Worker, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, ends = new_run(backend=worker.alias), Ends()

    for _ in range(5):
        worker.claim()
        worker.rescue()
        run_sweeps()
        ends.look()

    run.refresh_from_db()
    assert run.state == State.FAILED
    assert ends.changed == []


def test_a_sweep_killed_anywhere_is_repeated_by_the_next(
    worker: Worker,
    new_run: NewRun,
    boundaries: Callable[[Callable[[], None]], list[Run]],
) -> None:
    def live() -> None:
        left = Run(job=jobs.export.module_path, queue_name="jobs", backend=worker.alias)
        left.save(force_insert=True)
        run_sweeps()
        worker.drain()

    runs = boundaries(live)

    assert {run.state for run in runs} == {State.SUCCEEDED}


@pytest.mark.integration
@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_process_killed_by_the_system_leaves_a_run_that_ends_once(
    site: Path, share: float
) -> None:
    whole = life()
    with lived(whole):
        start_and_perform()
    Run.objects.all().delete()

    killed = live_in_a_process(dies_at=int(whole.passed * share), media=site)
    ends, survivor = Ends(), SharedWorker()
    ends.look()
    rescuing.rescue_lost(survivor.store)
    recover(survivor, ends)

    assert killed.returncode == -signal.SIGKILL
    assert [run.state for run in Run.objects.all()] in ([], [State.SUCCEEDED])
    assert ends.changed == []


def live_in_a_process(*, dies_at: int, media: Path) -> "subprocess.CompletedProcess[str]":
    """Start and perform a run in a process of its own that dies on the way."""
    return subprocess.run(
        [sys.executable, "-m", "tests.runs.life", str(dies_at), str(media)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
