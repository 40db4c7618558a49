"""What every torture test needs: its tasks known, caps that are met quickly."""

import logging
import os

import hypothesis
import pytest
from django.db import connection
from pytest_django import Settings

from tests.torture.model import CRASHES, KEEP_FAILED, KEEP_SUCCEEDED, RELEASES, seconds

for module in ("machine", "bookkeeping", "operations"):
    pytest.register_assert_rewrite(f"tests.torture.{module}")

# To make a failing life short takes longer than a test may.
PHASES = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
IS_LONG = os.environ.get("ERRANDS_TORTURE") == "long"


@pytest.fixture(autouse=True)
def torture_settings(settings: Settings) -> None:
    """Let workers find the torture's tasks, and few crashes end one."""
    settings.ERRANDS = {
        "IMPORTS": ["tests.torture.tasks"],
        "CRASHES": CRASHES,
        "RELEASES": RELEASES,
        "KEEP_SUCCEEDED": seconds(KEEP_SUCCEEDED),
        "KEEP_FAILED": seconds(KEEP_FAILED),
    }


@pytest.fixture(autouse=True)
def no_news_of_deaths(caplog: pytest.LogCaptureFixture) -> None:
    """Keep out of a failure what every life logs."""
    caplog.set_level(logging.CRITICAL)
    for name in ("errands.queue", "django.tasks"):
        caplog.set_level(logging.CRITICAL, logger=name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Take out what is about PostgreSQL's wire where there is none."""
    if connection.vendor == "postgresql":
        return
    left_out = [item for item in items if item.path.name == "test_lost_answers.py"]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def examples(*, short: int, long: int) -> hypothesis.settings:
    """Return how many lives a machine lives here."""
    return hypothesis.settings(
        max_examples=long if IS_LONG else short,
        stateful_step_count=80 if IS_LONG else 40,
        deadline=None,
        phases=PHASES,
        print_blob=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
