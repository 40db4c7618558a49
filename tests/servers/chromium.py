"""The Chromium of the browser tests."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

VARIABLE = "ERRANDS_TEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoChromium(Exception):
    """No Chromium is installed."""


def executable() -> str:
    """Return the path of a Chromium on this machine.

    Looks at ERRANDS_TEST_CHROMIUM, then for one on PATH, then for the one
    Playwright downloads; raises ``NoChromium`` when there is none.
    """
    named = os.environ.get(VARIABLE)
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    with sync_playwright() as playwright:
        downloaded = playwright.chromium.executable_path
    if not Path(downloaded).exists():
        raise NoChromium(f"No Chromium here: run tools/chromium, or set {VARIABLE}")
    return downloaded
