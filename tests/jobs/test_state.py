"""The JSON state: the contract of the element and of anybody's front end."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone, translation
from django.utils.translation import gettext
from pytest_django import Settings

import errands
from errands import Download
from errands.runs.fence import Fence
from errands.runs.models import Run
from errands.runs.progress_row import ProgressRow, Reading
from errands.runs.states import State
from tests.jobs.conftest import Play
from tests.jobs.sample import Scripted

KEYS = {
    *("id", "version", "created_at", "started_at", "finished_at", "state"),
    *("state_label", "title", "status", "progress", "step", "pieces", "log"),
    *("attempt", "result", "error", "expires_at", "actions", "links", "poll_after_ms"),
}


@pytest.fixture
def run(click: HttpRequest) -> Run:
    """Return a run in its first attempt, a quarter done."""
    run = Scripted.using(title="Orders").start(click)
    Run.objects.filter(pk=run.pk).update(
        state=State.RUNNING, attempt=1, started_at=timezone.now()
    )
    reach(run, current=1200)
    run.refresh_from_db()
    return run


def reach(run: Run, *, current: int, attempt: int = 1) -> None:
    """Write progress as an attempt does."""
    reading = Reading(
        attempt=attempt,
        current=current,
        total=5000,
        percent=current // 50,
        status="Writing orders",
        first_at=0,
        updated_at=0,
    )
    ProgressRow(Fence(run.pk, 1, "task", attempt)).write(reading)


def test_the_state_of_a_running_run_is_the_contract(run: Run, browser: Client) -> None:
    state = browser.get(f"/jobs/{run.pk}/state.json").json()

    assert set(state) >= KEYS
    assert state["id"] == str(run.pk)
    assert (state["state"], state["state_label"]) == ("running", "Running")
    assert (state["title"], state["status"]) == ("Orders", "Writing orders")
    assert state["progress"]["text"] == "1,200 of 5,000 (24%)"
    assert state["progress"]["percent"] == 24
    assert state["actions"] == {
        "cancel": {"method": "POST", "url": f"/jobs/{run.pk}/cancel"}
    }
    assert state["links"] == {
        "page": f"/jobs/{run.pk}/",
        "download": None,
        "events": None,
    }
    assert (state["result"], state["error"], state["finished_at"]) == (None, None, None)


@pytest.mark.parametrize(
    ("url", "accept"),
    [("state.json", "*/*"), ("", "application/json"), ("?format=json", "text/html")],
)
def test_the_state_has_three_addresses(
    url: str, accept: str, run: Run, browser: Client
) -> None:
    answer = browser.get(f"/jobs/{run.pk}/{url}", headers={"accept": accept})

    assert answer.json()["id"] == str(run.pk)


def test_a_site_without_time_zones_shows_a_run_and_its_result(
    browser: Client, play: Play, settings: Settings
) -> None:
    def script(job: Scripted) -> Download:
        statuses.append(browser.get(f"/jobs/{job.run.pk}/").status_code)
        job.results.write("a.txt", "")
        return Download("a.txt")

    settings.USE_TZ = False
    statuses: list[int] = []

    run = play(script)

    assert statuses == [200]
    assert "Available until" in browser.get(f"/jobs/{run.pk}/").text


def test_a_browser_gets_the_page(run: Run, browser: Client) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

    answer = browser.get(f"/jobs/{run.pk}/", headers={"accept": accept})

    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Accept" in answer.headers["Vary"]
    assert '<progress aria-label="Progress" max="100" value="24">' in answer.text
    assert "1,200 of 5,000 (24%)" in answer.text


def test_asking_again_costs_no_body_until_something_moves(
    run: Run, browser: Client
) -> None:
    url = f"/jobs/{run.pk}/state.json"
    tag = browser.get(url).headers["ETag"]

    same = browser.get(url, headers={"if-none-match": tag})
    reach(run, current=1300)
    moved = browser.get(url, headers={"if-none-match": tag})

    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["Cache-Control"] == "private, no-store"
    assert moved.status_code == 200
    assert moved.headers["ETag"] != tag


def test_another_language_is_another_state(run: Run, browser: Client) -> None:
    url = f"/jobs/{run.pk}/state.json"
    tag = browser.get(url).headers["ETag"]

    answer = browser.get(url, headers={"if-none-match": tag, "accept-language": "de"})

    assert answer.status_code == 200


def test_the_version_rises_when_another_attempt_takes_over(
    run: Run, browser: Client
) -> None:
    url = f"/jobs/{run.pk}/state.json"
    for current in range(1300, 2300, 100):
        reach(run, current=current)
    before = browser.get(url).json()["version"]

    Run.objects.filter(pk=run.pk).update(attempt=2, version=run.version + 1)

    assert browser.get(url).json()["version"] > before


@pytest.mark.parametrize(
    ("age", "pause"), [(0, 500), (6, 1000), (61, 2000), (601, 5000), (99999, 5000)]
)
def test_the_pause_between_two_polls_grows_with_the_run(
    age: int, pause: int, run: Run, browser: Client
) -> None:
    started_at = timezone.now() - timedelta(seconds=age)
    Run.objects.filter(pk=run.pk).update(started_at=started_at)

    state = browser.get(f"/jobs/{run.pk}/state.json").json()

    assert state["poll_after_ms"] == pause


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_run_is_not_polled_and_cannot_be_cancelled(
    state: State, run: Run, browser: Client
) -> None:
    Run.objects.filter(pk=run.pk).update(state=state, finished_at=timezone.now())

    shown = browser.get(f"/jobs/{run.pk}/state.json").json()

    assert shown["poll_after_ms"] is None
    assert shown["actions"] == {"cancel": None}


def test_a_failure_is_told_by_its_text_and_reference(run: Run, browser: Client) -> None:
    Run.objects.filter(pk=run.pk).update(
        state=State.FAILED, error_message="<b>No</b>", error_reference="ABC-1"
    )

    shown = browser.get(f"/jobs/{run.pk}/state.json").json()
    page = browser.get(f"/jobs/{run.pk}/").text

    assert shown["error"] == {"message": "<b>No</b>", "reference": "ABC-1"}
    assert "&lt;b&gt;No&lt;/b&gt;" in page
    assert "ABC-1" in page


def test_a_second_attempt_and_an_interruption_are_told(run: Run, browser: Client) -> None:
    url, runs = f"/jobs/{run.pk}/state.json", Run.objects.filter(pk=run.pk)

    texts = [browser.get(url).json()["attempt_text"]]
    runs.update(attempt=2)
    texts += [browser.get(url).json()["attempt_text"]]
    runs.update(state=State.QUEUED, is_interrupted=True)
    texts += [browser.get(url).json()["attempt_text"]]

    assert texts == ["", "Attempt 2", "Interrupted; it goes on in a moment"]


def test_what_is_read_aloud_changes_with_quarters_not_with_counts(
    run: Run, browser: Client
) -> None:
    url, said = f"/jobs/{run.pk}/state.json", []

    for current in [1240, 1260, 1300, 2600]:
        reach(run, current=current)
        said.append(browser.get(url).json()["spoken"])

    assert said == [
        "Running. Writing orders",
        "Running. Writing orders. 25%",
        "Running. Writing orders. 25%",
        "Running. Writing orders. 50%",
    ]


def test_the_page_reloads_by_itself_only_for_who_asks_and_until_the_end(
    run: Run, browser: Client, ann: User
) -> None:
    url = f"/jobs/{run.pk}/"

    unasked = browser.get(url)
    asked = browser.get(f"{url}?refresh=1")
    Run.objects.filter(pk=run.pk).update(state=State.FAILED)
    ended = browser.get(f"{url}?refresh=1")

    assert "Refresh" not in unasked.headers
    assert f'href="{url}?refresh=1"' in unasked.text
    assert asked.headers["Refresh"] == "5"
    assert "Refresh" not in ended.headers


def test_the_pages_have_neither_inline_code_nor_anything_from_elsewhere(
    run: Run, browser: Client
) -> None:
    for url in [f"/jobs/{run.pk}/", "/jobs/"]:
        text = browser.get(url).text

        assert "style=" not in text
        assert "<style" not in text
        assert " onclick" not in text
        assert "//" not in text.replace("<!doctype html>", "")
        assert text.count("<script") == text.count('<script type="module" src="/static/')


@pytest.mark.parametrize("text", ["</title><script>alert(1)</script>", 'x" onload="y'])
def test_a_hostile_title_and_status_are_only_text(
    text: str, click: HttpRequest, browser: Client
) -> None:
    run = Scripted.using(title=text, status=text).start(click)

    for url in [f"/jobs/{run.pk}/", "/jobs/"]:
        assert text not in browser.get(url).text
    assert browser.get(f"/jobs/{run.pk}/state.json").json()["status"] == text


def test_the_page_speaks_the_visitors_language(run: Run, browser: Client) -> None:
    page = browser.get(f"/jobs/{run.pk}/", headers={"accept-language": "de"}).text

    assert '<html lang="de"' in page
    assert "1.200 von 5.000 (24 %)" in page
    assert "Meine Aufträge" in page


def test_every_text_of_the_templates_is_translated_into_german() -> None:
    templates = Path(errands.__path__[0], "templates").rglob("*.html")
    sources = "".join(template.read_text() for template in templates)
    texts = re.findall(r"""{% translate ["'](.+?)["'] %}""", sources)

    with translation.override("de"):
        untranslated = [text for text in texts if gettext(text) == text]

    assert len(texts) > 10
    assert untranslated == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (29, ""),
        (47, "No news for 40 seconds"),
        (60, "No news for 1 minute"),
        (185, "No news for 3 minutes"),
    ],
)
def test_a_page_says_how_long_it_has_had_no_news(
    run: Run, browser: Client, seconds: int, text: str
) -> None:
    before = browser.get(f"/jobs/{run.pk}/state.json").headers["ETag"]
    ago = timezone.now() - timedelta(seconds=seconds)
    Run.objects.filter(pk=run.pk).update(started_at=ago)

    answer = browser.get(f"/jobs/{run.pk}/state.json")

    assert answer.json()["attempt_text"] == text
    assert (answer.json()["progress"]["eta_text"] == "") or not text
    assert (answer.headers["ETag"] != before) or not text
