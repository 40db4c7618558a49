"""What goes wrong with one peer of the bench stops no other."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import bars
from bench.contest import Contest, Contestant, NotRun, Results, Stand
from bench.processes import Fleet, rss

NOBODY = Contestant("nobody", "nobody", "sqlite")
SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def dead_stand(tmp_path: Path) -> Iterator[Stand]:
    """A stand whose process has ended: it knows no such peer."""
    stand = Stand(NOBODY, "", tmp_path)
    stand._process.wait(30)
    yield stand
    stand.close()


def test_a_stand_that_died_after_its_last_answer_is_not_run(dead_stand: Stand):
    dead_stand.ask("speed")

    with pytest.raises(NotRun, match="it died"):
        dead_stand.answer()


def test_a_contest_goes_on_without_a_stand_that_died(dead_stand: Stand):
    contest = Contest([dead_stand], Results())

    contest.together("idle")
    contest.together("speed")

    assert contest.results.failed == {
        "idle": {NOBODY: "it died"},
        "speed": {NOBODY: "it died"},
    }


@pytest.mark.parametrize(("ours", "is_told"), [(1.9, True), (2.1, False)])
def test_a_bar_that_is_not_met_says_why(*, ours: float, is_told: bool):
    results = Results()
    for peer, speed in {"errands": ours, "django_ox": 1.0}.items():
        measured = results.measured.setdefault("enqueue one", {})
        measured[Contestant(peer, peer, "postgresql")] = [speed]

    assert bars.reasons(results).startswith("* **enqueue one**: Of some") == is_told


def test_a_process_that_has_ended_weighs_nothing():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(30)

    assert rss(ended.pid) == 0


def test_a_fleet_that_has_ended_leaves_no_ledger(tmp_path: Path):
    with Fleet([SLEEPER], tmp_path / "log") as fleet:
        assert fleet.ledger.is_dir()

    assert not fleet.ledger.exists()
    assert fleet.roots[0].returncode in {-signal.SIGTERM, -signal.SIGKILL}
