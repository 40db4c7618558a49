"""A task that changes what its whole process shares changes it for itself."""

import locale
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from errands.tasks.interrupting import Control
from errands.worker.attempts.making import Attempts
from errands.worker.attempts.surroundings import Surroundings
from errands.worker.workplace import Workplace
from tests.testapp import tasks
from tests.worker.conftest import claim_of


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    directory, mask, spoken = Path.cwd(), os.umask(0o022), locale.setlocale(locale.LC_ALL)
    yield
    os.chdir(directory)
    os.umask(mask)
    locale.setlocale(locale.LC_ALL, spoken)


@pytest.fixture
def surroundings(tmp_path: Path) -> Surroundings:
    (tmp_path / "home").mkdir()
    os.chdir(tmp_path / "home")
    return Surroundings()


def test_what_nobody_changed_is_left_alone(surroundings: Surroundings):
    assert surroundings.restore() == []
    assert os.umask(0o022) == 0o022


def test_the_directory_is_put_back(surroundings: Surroundings, tmp_path: Path):
    os.chdir(tmp_path)

    assert surroundings.restore() == ["working directory"]
    assert Path.cwd() == tmp_path / "home"


def test_a_directory_that_is_gone_is_left(surroundings: Surroundings, tmp_path: Path):
    (tmp_path / "lost").mkdir()
    os.chdir(tmp_path / "lost")
    (tmp_path / "lost").rmdir()

    assert surroundings.restore() == ["working directory"]
    assert Path.cwd() == tmp_path / "home"


def test_a_worker_whose_own_directory_is_gone_goes_on_and_says_so(
    surroundings: Surroundings, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    os.chdir(tmp_path)
    (tmp_path / "home").rmdir()

    surroundings.restore()

    assert f"the worker's directory {tmp_path / 'home'} is gone" in caplog.text


def test_a_worker_that_began_in_a_deleted_directory_works(
    surroundings: Surroundings, tmp_path: Path
):
    (tmp_path / "home").rmdir()
    begun_nowhere = Surroundings()
    os.chdir(tmp_path)

    assert begun_nowhere.restore() == []


def test_the_umask_is_put_back(surroundings: Surroundings):
    os.umask(0)

    assert surroundings.restore() == ["umask"]
    assert os.umask(0o022) == 0o022


def test_the_locale_is_put_back(surroundings: Surroundings):
    before = locale.setlocale(locale.LC_ALL)
    other = "C" if before != "C" else "C.UTF-8"
    locale.setlocale(locale.LC_ALL, other)

    assert surroundings.restore() == ["locale"]
    assert locale.setlocale(locale.LC_ALL) == before


def test_an_attempt_begins_where_the_worker_did(
    surroundings: Surroundings, real_workplace: Workplace, tmp_path: Path
):
    attempts = Attempts(real_workplace)
    os.chdir(tmp_path)

    attempts.make(claim_of(1, path=tasks.nothing.module_path))

    assert Path.cwd() == tmp_path / "home"


def test_nothing_is_put_back_under_an_attempt_that_runs(
    surroundings: Surroundings, real_workplace: Workplace, tmp_path: Path
):
    attempts = Attempts(real_workplace)
    os.chdir(tmp_path)
    real_workplace.controls[99, 1] = Control()

    attempts.make(claim_of(1, path=tasks.nothing.module_path))

    assert Path.cwd() == tmp_path
