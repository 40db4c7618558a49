"""A short soak: real workers, killed, frozen and cut off, and every task checked."""

import os
import subprocess
import sys

import pytest
from django.db import connection

from tests.torture.soak.servers import SERVERS
from tests.torture.soak.trees import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.database,
    pytest.mark.quiet,
    pytest.mark.timeout(600),
]

ALL_IS_WELL = (
    "lost=0",
    "phantom=0",
    "unexplained_duplicates=0",
    "duplicate_transactional_effects=0",
    "attempts_overrun=0",
    "stuck=0",
)
OWN = (
    "ERRANDS_TEST_DATABASE_NAME",
    "ERRANDS_TEST_DIRECTORY",
    "ERRANDS_TEST_MYSQL",
    "ERRANDS_TEST_POSTGRES",
)


def test_no_task_is_lost_or_doubled_whatever_happens_to_workers_and_database() -> None:
    database = connection.vendor
    kills, zombies = ("6", "2") if SERVERS[database].can_restart else ("3", "1")
    size = ["--tasks", "2000", "--kills", kills, "--zombies", zombies]
    # How long it takes is for a machine on which nothing else works.
    size += ["--slack", "60"]

    soaked = subprocess.run(
        [sys.executable, "-m", "tests.torture.soak", *size, "--database", database],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key not in OWN},
        check=False,
        capture_output=True,
        text=True,
    )

    assert soaked.returncode == 0, f"{soaked.stdout}\n{soaked.stderr}"
    *_, verdict = soaked.stdout.splitlines()
    assert set(ALL_IS_WELL) < set(verdict.split())
    assert {f"kills={kills}", f"zombies={zombies}"} < set(verdict.split())
