"""The job page in a real browser, under a strict Content-Security-Policy."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from errands.runs.fence import Fence
from errands.runs.models import Run
from errands.runs.progress_row import ProgressRow, Reading
from errands.runs.states import State
from tests.jobs.sample import AccountReport

HOSTILE = "</p><img src=x onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture
def site(
    browser: Browser, live_server: LiveServer, settings: Settings, tmp_path: Path
) -> str:
    """Return the address of a site that allows nothing inline."""
    settings.MEDIA_ROOT = tmp_path
    settings.SECURE_CSP = {"default-src": ["'self'"]}
    settings.MIDDLEWARE = [
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        *settings.MIDDLEWARE,
    ]
    return live_server.url


@pytest.fixture
def ann(site: str) -> User:
    """Return the visitor."""
    return User.objects.create_user("ann")


@pytest.fixture
def run(ann: User) -> Run:
    """Return the visitor's run, in its first attempt."""
    return Run.objects.create(
        job=AccountReport.path(),
        owner=ann,
        title="Orders",
        state=State.RUNNING,
        attempt=1,
        started_at=timezone.now(),
    )


def visit(browser: Browser, site: str, run: Run, **context: Any) -> Page:
    """Open the run's page as its owner."""
    client = Client()
    assert run.owner
    client.force_login(run.owner)
    opened = browser.new_context(**context)
    session = client.cookies["sessionid"].value
    opened.add_cookies([{"name": "sessionid", "value": session, "url": site}])
    page = opened.new_page()
    page.goto(f"{site}{run.get_absolute_url()}")
    return page


def reach(run: Run, percent: int, *, status: str = "Writing orders") -> None:
    """Write progress as an attempt does."""
    reading = Reading(
        attempt=1,
        current=percent,
        total=100,
        percent=percent,
        status=status,
        log=json.dumps([{"id": 1, "at": 1, "text": status}]),
        first_at=0,
        updated_at=0,
    )
    ProgressRow(Fence(run.pk, 1, "task", 1)).write(reading)


def succeed(run: Run) -> None:
    """End the run with a file."""
    storages["default"].save("a/b", ContentFile(b"1,2\r\n"))
    run.result_rows.create(
        name="orders.csv",
        file_name="orders.csv",
        content_type="text/csv",
        size=5,
        storage="default",
        key="a/b",
    )
    outcome = json.dumps({"kind": "download", "result": "orders.csv", "file_name": ""})
    end(run, state=State.SUCCEEDED, outcome=outcome)


def end(run: Run, **fields: Any) -> None:
    """Write an end."""
    Run.objects.filter(pk=run.pk).update(
        finished_at=timezone.now(), version=run.version + 1, **fields
    )


def test_the_bar_moves_and_the_file_downloads_by_itself(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run)
    loads: list[str] = []
    complaints: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    page.on("console", lambda message: complaints.append(message.text))
    spoken = page.locator("[aria-live=polite]")

    for percent in [7, 31, 52, 78, 99]:
        reach(run, percent)
        expect(page.locator("progress")).to_have_js_property("value", percent)
        expect(page.get_by_text(f"{percent} of 100 ({percent}%)")).to_be_visible()
    expect(page).to_have_title("99% · Orders")
    expect(spoken).to_have_text("Running. Writing orders. 75%")
    with page.expect_download() as download:
        succeed(run)

    assert Path(download.value.path()).read_bytes() == b"1,2\r\n"
    assert download.value.suggested_filename == "orders.csv"
    expect(page).to_have_title("Succeeded · Orders")
    expect(page.get_by_role("link", name="Download orders.csv")).to_be_visible()
    expect(page.locator("progress")).to_be_hidden()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(spoken).to_have_text("Succeeded. Download orders.csv")
    assert loads == []
    assert not [text for text in complaints if "Content Security Policy" in text]


def test_the_page_after_the_end_looks_as_the_page_that_saw_it(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run)
    end(run, state=State.FAILED, error_message="No key.", error_reference="ABC-1")
    expect(page.get_by_text("No key.", exact=True)).to_be_visible()
    shown = page.locator("job-progress > :visible:not([aria-live])")
    seen = shown.all_inner_texts()

    page.reload()

    assert shown.all_inner_texts() == seen


def test_without_javascript_a_reload_shows_the_progress_and_a_click_the_file(
    browser: Browser, site: str, run: Run
) -> None:
    reach(run, 40)
    page = visit(browser, site, run, java_script_enabled=False)
    expect(page.get_by_text("40 of 100 (40%)")).to_be_visible()

    succeed(run)
    page.get_by_role("link", name="Refresh", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download orders.csv").click()

    assert Path(download.value.path()).read_bytes() == b"1,2\r\n"


def test_without_javascript_the_page_reloads_by_itself_for_who_wants_it(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run, java_script_enabled=False)

    page.get_by_role("link", name="Refresh automatically every 5 seconds").click()
    reach(run, 40)

    expect(page.get_by_text("40 of 100 (40%)")).to_be_visible(timeout=30_000)


def test_polling_stops_with_a_word_when_the_run_is_taken_away(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run)
    asked: list[Any] = []

    Run.objects.filter(pk=run.pk).update(owner=None)
    expect(page.get_by_text("This job cannot be shown any more.")).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1_500)

    assert asked == []


def test_a_lost_connection_is_told_and_found_again(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run)

    page.context.set_offline(True)
    expect(page.get_by_text("No connection. Trying again…")).to_be_visible()
    page.context.set_offline(False)
    reach(run, 40)

    expect(page.get_by_text("40 of 100 (40%)")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("No connection.")).to_be_hidden()


def test_a_stream_that_is_held_back_on_its_way_hides_no_end(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run)
    page.route("**/held-back", lambda route: None)
    page.evaluate(
        """() => {
          const live = document.querySelector("job-progress");
          live.setAttribute("events", "/held-back");
          live.replaceWith(live);
        }"""
    )

    end(run, state=State.FAILED, error_message="no luck")

    expect(page.locator(".job-error > :first-child")).to_have_text("no luck")


def test_hostile_texts_stay_texts_while_the_page_is_live(
    browser: Browser, site: str, run: Run
) -> None:
    Run.objects.filter(pk=run.pk).update(title=HOSTILE)
    page = visit(browser, site, run)
    dialogs: list[Any] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    scripts = page.locator("script").count()

    reach(run, 40, status=HOSTILE)
    expect(page.locator(".job-status")).to_have_text(HOSTILE)
    end(run, state=State.FAILED, error_message=HOSTILE)
    expect(page.locator(".job-error > :first-child")).to_have_text(HOSTILE)

    assert dialogs == []
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == scripts


def test_a_site_hears_of_it_and_may_keep_the_visitor_here(
    browser: Browser, site: str, run: Run
) -> None:
    page = visit(browser, site, run)
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        """() => {
          window.heard = [];
          for (const name of ["progress", "succeeded"])
            document.addEventListener(`job:${name}`, (event) => {
              window.heard.push([name, event.detail.state]);
              event.preventDefault();
            });
        }"""
    )

    succeed(run)
    expect(page.get_by_role("link", name="Download orders.csv")).to_be_visible()

    assert page.evaluate("window.heard.slice(-2)") == [
        ["progress", "succeeded"],
        ["succeeded", "succeeded"],
    ]
    assert not [url for url in asked if "/results/" in url]
