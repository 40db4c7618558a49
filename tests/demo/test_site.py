"""The demo as a project of its own: its checks, migrations and tests pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.demo.conftest import DEMO, SITE_SETTINGS

SITE_TESTS = Path(__file__).parent / "site"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        (DEMO / "manage.py", "check", "--fail-level", "WARNING"),
        (DEMO / "manage.py", "makemigrations", "--check", "--dry-run"),
        ("-m", "pytest", "--ds", SITE_SETTINGS, "--confcutdir", SITE_TESTS, SITE_TESTS),
    ],
    ids=["check", "makemigrations", "tests"],
)
def test_the_demo_passes(command, tmp_path):
    environment = os.environ | {
        "DEMO_DATA": str(tmp_path),
        "DEMO_PACE": "0",
        "DJANGO_SETTINGS_MODULE": SITE_SETTINGS,
        "PYTHONPATH": str(DEMO),
    }

    ended = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
