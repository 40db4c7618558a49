"""What ``perform`` returns, and what the visitor gets of it."""

import json
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse_lazy
from pytest_django import Settings

from errands import JSON, Download, Job, Message, Page, Redirect
from errands.jobs.keeping import default_template
from errands.runs.models import Run
from errands.runs.states import State
from tests.jobs.conftest import Play
from tests.jobs.sample import Scripted
from tests.runs.engines import SharedWorker

NOBODYS = UUID(int=5)
SCRIPT = "<script>alert(1)</script>"


def result_of(browser: Client, run: Run) -> Any:
    """Return the result as the JSON state has it."""
    return browser.get(f"/jobs/{run.pk}/state.json").json()["result"]


def offer(name: str, content: bytes = b"1,2\r\n", **options: Any) -> Any:
    """Return a script that writes a result and offers it."""

    def script(job: Scripted) -> Download:
        job.results.write("orders.csv", content, **options)
        return Download("orders.csv", file_name=name)

    return script


def test_a_download_is_offered_by_name_and_size_and_its_bytes_arrive(
    play: Play, browser: Client
) -> None:
    run = play(offer("Bestellungen März.csv"))

    result = result_of(browser, run)
    answer = browser.get(result["url"])

    assert (result["name"], result["size"]) == ("Bestellungen März.csv", 5)
    assert answer.getvalue() == b"1,2\r\n"
    assert answer.headers["Content-Type"] == "text/csv"
    assert answer.headers["Content-Length"] == "5"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename*=utf-8''Bestellungen%20M%C3%A4rz.csv"
    )


@pytest.mark.parametrize(
    "name",
    [
        "../../x.csv",
        "a\r\nSet-Cookie: x=1.csv",
        'a";filename=b.bat',
        "\0",
        "x" * 5_000_000,
    ],
)
def test_a_hostile_file_name_is_only_a_name(
    name: str, play: Play, browser: Client
) -> None:
    run = play(offer(name))

    answer = browser.get(f"/jobs/{run.pk}/results/orders.csv/")
    answer.getvalue()
    disposition = answer.headers["Content-Disposition"]

    assert disposition.startswith("attachment")
    assert len(disposition) < 300
    assert not set(disposition.partition("=")[2].strip('"')) & set('/\\\r\n\0"')


def test_html_to_download_is_never_shown_in_the_sites_origin(
    play: Play, browser: Client
) -> None:
    run = play(offer("a.html", SCRIPT.encode(), content_type="text/html"))

    answer = browser.get(f"/jobs/{run.pk}/results/orders.csv/")
    answer.getvalue()

    assert answer.headers["Content-Disposition"] == 'attachment; filename="a.html"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")


def test_a_result_that_goes_by_the_name_of_a_page_is_not_shown_as_one(
    play: Play, browser: Client
) -> None:
    run = play(lambda job: job.results.write("errands-page.html", SCRIPT))

    answer = browser.get(f"/jobs/{run.pk}/page/")

    assert answer.status_code == 410
    assert SCRIPT not in answer.text


def test_an_expired_result_is_gone_and_the_page_says_so(
    play: Play, browser: Client
) -> None:
    run = play(offer("a.csv"))
    Run.objects.filter(pk=run.pk).update(expires_at=run.created_at)

    answer = browser.get(f"/jobs/{run.pk}/results/orders.csv/")

    assert answer.status_code == 410
    assert "The result is no longer available." in answer.text
    assert result_of(browser, run)["kind"] == "expired"


def test_a_download_of_a_result_that_was_not_written_fails_the_job(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    run = play(lambda job: Download("missing.csv"))

    assert run.state == State.FAILED
    assert "but wrote no such result. Written: none." in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//evil",
        "ftp://x/y",
        "/x\r\ny",
        "https://x/" + "y" * 5_000_000,
    ],
)
def test_a_download_from_elsewhere_is_a_web_address(url: str, play: Play) -> None:
    assert play(lambda job: Download(url=url)).state == State.FAILED


def test_a_page_is_rendered_for_the_owner_and_the_host_of_the_click(
    play: Play, browser: Client
) -> None:
    run = play(lambda job: Page("jobs/sample.html", {"greeting": SCRIPT}))

    answer = browser.get(f"/jobs/{run.pk}/page/")

    assert answer.getvalue().decode().strip() == (
        f"en|ann|Scripted|http://shop.example/jobs/{run.pk}/"
        "|&lt;script&gt;alert(1)&lt;/script&gt;"
    )
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert result_of(browser, run)["url"] == f"/jobs/{run.pk}/page/"


def test_a_page_is_rendered_although_its_owner_was_deleted_meanwhile(
    play: Play, ann: User
) -> None:
    def script(job: Scripted) -> Page:
        ann.delete()
        return Page("jobs/sample.html")

    run = play(script)

    assert (run.state, run.owner_id) == (State.SUCCEEDED, None)
    assert "|AnonymousUser|" in run.results["errands-page.html"].text


def test_the_default_template_is_named_after_the_job() -> None:
    class HTMLReport(Job):
        abstract = True
        __module__ = "tests.testapp.jobs"

    assert default_template(HTMLReport.__new__(HTMLReport)) == (
        "jobs/testapp/html_report.html"
    )


def test_a_page_without_a_request_takes_the_address_from_the_settings(
    db: None,
    worker: SharedWorker,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.ERRANDS = {
        "IMPORTS": ["tests.jobs.sample"],
        "BASE_URL": "https://a.example/x",
    }
    script = staticmethod(lambda job: Page("jobs/sample.html"))
    monkeypatch.setattr(Scripted, "script", script, raising=False)
    run = Scripted.enqueue()

    worker.drain()

    text = Run.objects.get(pk=run.pk).results["errands-page.html"].text
    assert f"https://a.example/x/jobs/{run.pk}/" in text
    assert "AnonymousUser" in text


def test_a_page_without_any_address_says_where_it_comes_from(
    db: None,
    worker: SharedWorker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = staticmethod(lambda job: Page("jobs/sample.html"))
    monkeypatch.setattr(Scripted, "script", script, raising=False)
    Scripted.enqueue()

    worker.drain()

    assert 'Set ERRANDS["BASE_URL"], such as "https://example.com".' in caplog.text


@pytest.mark.parametrize("to", ["/orders/", "errands:runs", "http://shop.example/x"])
def test_a_redirect_leads_to_a_page_of_the_site(
    to: str, play: Play, browser: Client
) -> None:
    run = play(lambda job: Redirect(to))

    result = browser.get(
        f"/jobs/{run.pk}/state.json", headers={"host": "shop.example"}
    ).json()["result"]

    assert result["url"] == {"errands:runs": "/jobs/"}.get(to, to)


class Order:
    """A record with a page."""

    def get_absolute_url(self) -> str:
        """Return where it is."""
        return "/orders/5/"


@pytest.mark.parametrize(
    ("outcome", "url"),
    [
        (Redirect("errands:result", NOBODYS, "a.csv"), f"/jobs/{NOBODYS}/results/a.csv/"),
        (Redirect("errands:run", pk=NOBODYS), f"/jobs/{NOBODYS}/"),
        (Redirect(reverse_lazy("errands:runs")), "/jobs/"),
        (Redirect(Order()), "/orders/5/"),
    ],
)
def test_a_redirect_takes_what_djangos_takes(
    outcome: Redirect, url: str, play: Play, browser: Client
) -> None:
    run = play(lambda job: outcome)

    assert result_of(browser, run)["url"] == url


def test_a_redirect_that_leads_nowhere_fails_the_job_and_says_so(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    run = play(lambda job: Redirect("errands:run", 5))

    assert run.state == State.FAILED
    assert (
        "tests.jobs.sample.Scripted returned Redirect(to='errands:run', args=(5,), "
        "kwargs={}), which leads nowhere: Reverse for 'run' with arguments '(5,)' not"
    ) in caplog.text


def test_a_redirect_to_what_has_no_address_is_refused_where_it_is_made() -> None:
    with pytest.raises(TypeError) as refusal:
        Redirect(5)

    assert str(refusal.value) == (
        "Redirect(5): it takes an address, the name of a URL pattern with its "
        "arguments, or an object with get_absolute_url()."
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"url": 5},
            r"Download\(url=5\): it takes a text, such as 'https://a.example/b'",
        ),
        (
            {"result": None},
            r"Download\(result=None\): it takes a text, such as 'orders.c",
        ),
    ],
)
def test_a_download_of_what_is_no_text_is_refused_where_it_is_made(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        Download(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [{"orders": 3}],
            "Page(template={'orders': 3}): it takes the name of a template, or None.",
        ),
        ([5], "Page(template=5): it takes the name of a template, or None."),
        (["a.html", 5], "Page(context=5): it takes a dict, or None."),
    ],
)
def test_a_page_of_what_is_no_template_is_refused_where_it_is_made(
    arguments: list[Any], message: str
) -> None:
    with pytest.raises(TypeError) as refusal:
        Page(*arguments)

    assert str(refusal.value) == message


EVIL = [
    "//evil.example/",
    "https:evil.example",
    "/\\evil.example",
    "https://evil.example/",
    "javascript:alert(1)//.",
    "/x\r\nSet-Cookie: a=b",
    "\x01//evil.example/",
]


@pytest.mark.parametrize("to", EVIL)
def test_a_redirect_to_elsewhere_fails_the_job(to: str, play: Play) -> None:
    assert play(lambda job: Redirect(to)).state == State.FAILED


@pytest.mark.parametrize("to", EVIL)
def test_a_redirect_to_elsewhere_that_got_into_the_row_is_not_shown(
    to: str, play: Play, browser: Client
) -> None:
    run = play(lambda job: JSON({}))
    Run.objects.filter(pk=run.pk).update(
        outcome=json.dumps({"kind": "redirect", "url": to})
    )

    assert result_of(browser, run) is None
    assert "evil" not in browser.get(f"/jobs/{run.pk}/").text


def test_a_message_of_any_content_and_size_leaves_the_page_whole(
    play: Play, browser: Client, ann: User
) -> None:
    run = play(lambda job: Message(SCRIPT + "\0\ud800" + "x" * 5_000_000))

    answer = browser.get(f"/jobs/{run.pk}/")

    assert answer.status_code == 200
    assert SCRIPT not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert len(answer.content) < 20_000


def test_json_is_part_of_the_state(play: Play, browser: Client) -> None:
    run = play(lambda job: JSON({"rows": [1, 2]}))

    assert result_of(browser, run) == {"kind": "json", "value": {"rows": [1, 2]}}


@pytest.mark.parametrize("value", ["x" * 70_000, float("nan"), object()])
def test_json_that_cannot_be_kept_fails_the_job(value: object, play: Play) -> None:
    assert play(lambda job: JSON(value)).state == State.FAILED
