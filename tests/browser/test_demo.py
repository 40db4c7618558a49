"""The demo as a visitor sees it: the whole way from a click to a file."""

import csv
import io
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Download, Page, expect

from tests.integration.processes import ROOT, eventually

FLIGHTS = 336_776
PATIENCE = 180_000
SOON = 30_000
EXPORTED = (
    "SELECT departs_at, airline_id, number, tail_number, origin_id, destination_id, "
    "departure_delay, arrival_delay, air_time, distance FROM flights_flight "
    "WHERE airline_id = ? ORDER BY departs_at, line"
)

pytestmark = pytest.mark.timeout(240)


class Demo:
    """``make demo`` on data of its own."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "flights.sqlite3"
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = directory / "log"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DJANGO_")}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, ROOT / "demo" / "serve.py"],
                env={**inherited, "DEMO_DATA": str(directory), "PORT": str(port)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def worker(self) -> int:
        """Return the pid of the worker's supervisor, which leads its group."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[-1])

    def exported(self, airline: str) -> bytes:
        """Return what an export must be, from a query of our own."""
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(
            ["departs_at", "flight", "tail_number", "origin", "destination",
             "departure_delay", "arrival_delay", "air_time", "distance"]
        )  # fmt: skip
        with closing(sqlite3.connect(self.database)) as connection:
            for departs_at, code, number, *others in connection.execute(
                EXPORTED, [airline]
            ):
                utc = datetime.fromisoformat(departs_at).replace(tzinfo=UTC)
                local = utc.astimezone(ZoneInfo("America/New_York"))
                writer.writerow(
                    [local.isoformat(timespec="minutes"), f"{code} {number}", *others]
                )
        return file.getvalue().encode()

    def stop(self) -> int:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)


@pytest.fixture(scope="module")
def demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Start the demo and wait until its data is loaded, by looking at it."""
    started = Demo(tmp_path_factory.mktemp("demo"))
    try:
        eventually(lambda: "The demo is at" in started.said, "the demo was served")
        page = sign_in(browser, started)
        figures = page.locator(".figures")
        expect(figures).to_contain_text(f"{FLIGHTS:,}", timeout=PATIENCE)
        page.context.close()
        yield started
    finally:
        ended = started.stop()

    assert ended == 0, started.said


def sign_in(browser: Browser, demo: Demo, user: str = "Ada", **context: bool) -> Page:
    """Open the demo in a window of its own and sign in with one click."""
    page = browser.new_context(**context).new_page()
    page.goto(demo.url)
    page.get_by_role("button", name=f"Continue as {user}").click()
    return page


def start_export(page: Page, demo: Demo, airline: str) -> None:
    page.goto(f"{demo.url}/airlines/")
    page.get_by_role("button", name=f"Export {airline} as CSV").click()
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))


def downloads_of(page: Page) -> list[Download]:
    """Return a list of what a page downloads from now on."""
    downloads: list[Download] = []
    # Playwright marks its listeners, which a built-in does not allow.
    page.on("download", lambda download: downloads.append(download))  # noqa: PLW0108
    return downloads


def watch_until_downloaded(
    page: Page, downloads: list[Download]
) -> tuple[list[str], Download]:
    """Return the texts the page showed, each once, and what it downloaded."""
    seen: list[str] = []
    deadline = time.monotonic() + 60
    while not downloads:
        assert time.monotonic() < deadline, seen
        shown = page.locator(".job-open").inner_text() if is_open(page) else ""
        if shown and shown not in seen:
            seen.append(shown)
        page.wait_for_timeout(50)
    return seen, downloads[0]


def is_open(page: Page) -> bool:
    return page.locator(".job-open").is_visible()


def content(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def test_an_export_moves_its_bar_and_the_file_arrives_by_itself(browser, demo):
    page = sign_in(browser, demo)

    downloads = downloads_of(page)
    start_export(page, demo, "Endeavor Air")
    seen, download = watch_until_downloaded(page, downloads)

    assert len(seen) >= 5, seen
    assert all("Writing the flights of Endeavor Air" in text for text in seen[1:])
    assert download.suggested_filename == "9E-2013.csv"
    assert content(download) == demo.exported("9E")
    expect(page.get_by_role("link", name="Download 9E-2013.csv")).to_be_visible()
    assert "Succeeded" in page.title() or page.locator(".job-badge").inner_text()


def test_the_same_without_javascript(browser, demo):
    page = sign_in(browser, demo, java_script_enabled=False)

    start_export(page, demo, "Mesa Airlines")
    seen = set()
    while is_open(page):
        seen.add(page.locator(".job-open").inner_text())
        page.get_by_role("link", name="Refresh", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download YV-2013.csv").click()

    assert len(seen) >= 5
    assert content(download.value) == demo.exported("YV")


def test_a_page_without_javascript_refreshes_itself_when_asked(browser, demo):
    page = sign_in(browser, demo, java_script_enabled=False)

    start_export(page, demo, "Hawaiian Airlines")
    page.get_by_role("link", name="Refresh automatically every 5 seconds").click()

    link = page.get_by_role("link", name="Download HA-2013.csv")
    expect(link).to_be_visible(timeout=SOON)


def test_a_killed_worker_is_followed_by_a_second_attempt_of_the_same_run(browser, demo):
    page = sign_in(browser, demo)
    start_export(page, demo, "US Airways")
    expect(page.locator(".job-numbers")).to_contain_text("%", timeout=SOON)
    address = page.url

    downloads = downloads_of(page)
    os.killpg(demo.worker(), signal.SIGKILL)
    expect(page.get_by_text("Attempt 2")).to_be_visible(timeout=60_000)
    _, download = watch_until_downloaded(page, downloads)

    assert page.url == address
    assert content(download) == demo.exported("US")


def test_a_deploy_is_no_failure_and_the_job_goes_on_where_it_was(browser, demo):
    page = sign_in(browser, demo)
    page.goto(f"{demo.url}/deploy/")
    page.get_by_role("button", name="Start").click()
    numbers = page.locator(".job-numbers")
    expect(numbers).to_contain_text(re.compile(r"[2-9]\d of 365"), timeout=SOON)
    before = int(re.findall(r"\d+", numbers.inner_text())[0])

    page.get_by_role("button", name="Deploy now").click()
    expect(page.get_by_text("Attempt 2")).to_be_visible(timeout=SOON)
    expect(numbers).to_contain_text("of 365", timeout=SOON)
    after = int(re.findall(r"\d+", numbers.inner_text())[0])

    assert after >= before
    attempts = page.get_by_role("listitem").filter(has_text=re.compile(r"Attempt \d"))
    expect(attempts).to_have_count(2, timeout=90_000)
    expect(attempts.last).to_contain_text("December 31")


def test_a_failure_shows_a_safe_sentence_and_a_reference(browser, demo):
    page = sign_in(browser, demo)

    page.goto(f"{demo.url}/failure/")
    page.get_by_role("button", name="How punctual").click()

    error = page.locator(".job-error")
    expect(error).to_contain_text("Something went wrong on our side.", timeout=SOON)
    expect(error).to_contain_text(re.compile(r"Reference: [0-9A-F]{8}-1"))
    assert "ZeroDivisionError" not in page.content()
    assert "Traceback" not in page.content()


def test_a_csv_of_ones_own_comes_back_as_a_summary(browser, demo, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("name;price\nanvil;12.5\nrope;7.5\nrope;\n", encoding="latin-1")
    page = sign_in(browser, demo)

    page.goto(f"{demo.url}/upload/")
    page.locator("input[type=file]").set_input_files(own)
    downloads = downloads_of(page)
    page.get_by_role("button", name="Summarise").click()
    _, download = watch_until_downloaded(page, downloads)

    rows = list(csv.DictReader(content(download).decode("utf-8-sig").splitlines()))
    assert [row["column"] for row in rows] == ["name", "price"]
    assert float(rows[1]["mean"]) == 10


def test_a_partners_data_is_fetched_stored_and_shown_to_a_colleague(browser, demo):
    page = sign_in(browser, demo)
    page.goto(f"{demo.url}/partner/")
    page.get_by_label("key").fill("wrong")
    page.get_by_role("button", name="Check the key").click()
    refused = page.locator(".errorlist").inner_text()

    page.get_by_label("key").fill("nyc-2013")
    page.locator("select").select_option(label="Grace Hopper")
    page.get_by_role("button", name="Check the key").click()
    expect(page).to_have_url(re.compile("/jobs/.*/page/"), timeout=90_000)
    address = page.url
    colleague = sign_in(browser, demo, "Grace")
    colleague.goto(address)

    assert refused
    expect(colleague.get_by_role("row").nth(1)).to_be_visible()
    with closing(sqlite3.connect(demo.database)) as connection:
        rows = connection.execute("SELECT count(*) FROM flights_aircraft").fetchone()
    assert rows == (3_000,)


def test_a_job_that_was_quicker_than_its_page_sends_its_file_once(
    browser, demo, tmp_path
):
    own = tmp_path / "own.csv"
    own.write_text("name\nanvil\n")
    page = sign_in(browser, demo)
    page.goto(f"{demo.url}/upload/")
    page.locator("input[type=file]").set_input_files(own)
    downloads = downloads_of(page)
    page.get_by_role("button", name="Summarise").click()
    watch_until_downloaded(page, downloads)

    page.reload()
    page.wait_for_timeout(2000)

    assert len(downloads) == 1
