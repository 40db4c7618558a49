"""An error tracker sees a failed task without any code of the site's."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_sentrys_django_integration_gets_the_exception_of_a_failed_task(tmp_path):
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "ERRANDS_TEST_DATABASE": "sqlite",
        "ERRANDS_TEST_DATABASE_NAME": str(tmp_path / "db.sqlite3"),
        "ERRANDS_TEST_DIRECTORY": str(tmp_path / "files"),
    }

    ran = subprocess.run(
        [sys.executable, "-m", "tests.reporting.sentry_site"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    (event,) = json.loads(ran.stdout.splitlines()[-1])
    raised = event["exception"]["values"][-1]
    assert (raised["type"], raised["value"]) == ("ValueError", "out of luck")
    assert raised["stacktrace"]["frames"][-1]["function"] == "fail_once"
    assert event["logger"] == "django.tasks"
