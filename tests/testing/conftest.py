"""Tests of tests: their tasks can be found, and what they heard is forgotten."""

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.testing import sample


@pytest.fixture(autouse=True)
def site(settings: Settings, tmp_path: Path) -> None:
    """Let workers find the sample tasks."""
    settings.ERRANDS = {"IMPORTS": ["tests.testing.sample"]}
    settings.MEDIA_ROOT = tmp_path / "media"
    sample.heard.clear()
