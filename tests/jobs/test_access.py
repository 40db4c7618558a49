"""Who may see a run, and what everybody else sees: nothing at all."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from errands import Download, Message, Page
from errands.runs.models import Run
from errands.runs.states import State
from tests.jobs.conftest import Play
from tests.jobs.sample import Guarded, Scripted

NAMES = ["run", "state", "events", "page", "result", "cancel"]
METHODS = ["get", "head", "post", "put", "delete", "options"]


def address(name: str, pk: object) -> str:
    """Return one of a run's addresses."""
    return reverse(f"errands:{name}", args=[pk, "a.txt"] if name == "result" else [pk])


def offer(job: Scripted) -> Download:
    """Write a file and a page's result, so that every address has something."""
    job.results.write("a.txt", "secret")
    return Download("a.txt")


def bytes_of(client: Client, method: str, url: str) -> tuple[int, bytes, dict[str, str]]:
    """Return all of an answer that a stranger could look at."""
    answer = getattr(client, method)(url, headers={"accept": "*/*"})
    return answer.status_code, answer.content, dict(answer.headers)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("who", ["bob", "nobody"])
def test_a_stranger_gets_the_bytes_of_a_run_that_does_not_exist(
    who: str, name: str, method: str, play: Play, bob: User
) -> None:
    run, client = play(offer), Client(enforce_csrf_checks=False)
    if who == "bob":
        client.force_login(bob)

    answer = bytes_of(client, method, address(name, run.pk))

    assert answer == bytes_of(client, method, address(name, uuid4()))
    assert answer[0] in {404, 405}


@pytest.mark.parametrize("format", ["?format=json", ""])
def test_a_stranger_learns_nothing_from_asking_for_json(
    format: str,  # noqa: A002
    play: Play,
    bob: User,
    client: Client,
) -> None:
    run = play(offer)
    client.force_login(bob)
    headers = {"accept": "application/json"}

    theirs = client.get(address("run", run.pk) + format, headers=headers)
    nobodys = client.get(address("run", uuid4()) + format, headers=headers)

    assert (theirs.status_code, theirs.content) == (404, nobodys.content)


def test_a_post_without_a_csrf_token_tells_nobody_what_exists(
    click: HttpRequest, ann: User
) -> None:
    run, client = Scripted.start(click), Client(enforce_csrf_checks=True)
    client.force_login(ann)

    own = client.post(address("cancel", run.pk))
    nobodys = client.post(address("cancel", uuid4()))

    assert (own.status_code, own.content) == (403, nobodys.content)
    run.refresh_from_db()
    assert run.state == State.QUEUED


def test_a_stranger_and_a_missing_run_cost_the_same_queries(
    play: Play,
    bob: User,
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    run = play(offer)
    client.force_login(bob)

    with django_assert_num_queries(5):  # session, user, the run, two of permissions
        client.get(address("run", uuid4()))
    with django_assert_num_queries(5):
        client.get(address("run", run.pk))


def test_a_granted_user_sees_the_run_and_its_file_but_cannot_cancel(
    click: HttpRequest, play: Play, bob: User, client: Client
) -> None:
    ended, waiting = play(offer), Scripted.start(click)
    ended.grant(bob)
    waiting.grant(bob)
    client.force_login(bob)

    assert client.get(address("run", ended.pk)).status_code == 200
    assert client.get(address("result", ended.pk)).getvalue() == b"secret"
    assert client.post(address("cancel", waiting.pk)).status_code == 404
    assert client.get(address("state", waiting.pk)).json()["actions"] == {"cancel": None}


def test_who_may_view_every_run_sees_it(play: Play, bob: User, client: Client) -> None:
    run = play(offer)
    bob.user_permissions.add(Permission.objects.get(codename="view_run"))
    client.force_login(bob)

    assert client.get(address("run", run.pk)).status_code == 200
    assert client.get(address("cancel", run.pk)).status_code == 405


def test_users_without_permissions_see_their_own_runs_and_no_others(
    play: Play, browser: Client, bob: User, without_permissions: None
) -> None:
    own, other = play(offer), Run.objects.create(job="x", owner=bob)

    assert browser.get(address("run", own.pk)).status_code == 200
    assert browser.get(address("result", own.pk)).getvalue() == b"secret"
    for name in ("run", "events", "result"):
        assert browser.get(address(name, other.pk)).status_code == 404


def test_the_owner_cancels(click: HttpRequest, browser: Client) -> None:
    run = Scripted.start(click)

    answer = browser.post(address("cancel", run.pk))

    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert answer.headers["Location"] == address("run", run.pk)


def test_a_run_deleted_during_the_click_is_as_one_that_never_was(
    click: HttpRequest, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scripted.start(click)
    cancel = Run.cancel

    def cancel_too_late(run: Run) -> None:
        Run.objects.filter(pk=run.pk).delete()
        cancel(run)

    monkeypatch.setattr(Run, "cancel", cancel_too_late)

    answer = browser.post(address("cancel", run.pk), follow=True)

    assert answer.status_code == 404


def test_every_get_changes_nothing(click: HttpRequest, browser: Client) -> None:
    run = Scripted.start(click)

    for name in NAMES:
        browser.get(address(name, run.pk))

    assert list(Run.objects.values()) == [Run.objects.filter(pk=run.pk).values()[0]]
    run.refresh_from_db()
    assert (run.state, run.version) == (State.QUEUED, 0)


@pytest.mark.parametrize("outcome", ["download", "page"])
def test_a_permission_taken_away_stops_the_next_download(
    outcome: str, play: Play, ann: User, click: HttpRequest, browser: Client
) -> None:
    ann.user_permissions.add(Permission.objects.get(codename="view_group"))
    click.user = User.objects.get(pk=ann.pk)
    script = {"download": offer, "page": lambda job: Page("jobs/sample.html")}[outcome]
    run = play(script, job=Guarded)
    url = address("result" if outcome == "download" else "page", run.pk)

    before = browser.get(url)
    before.getvalue()
    ann.user_permissions.clear()

    assert (before.status_code, browser.get(url).status_code) == (200, 403)


@pytest.mark.parametrize("name", ["run", "state", "result", "page", "cancel"])
def test_every_answer_is_private(name: str, play: Play, browser: Client) -> None:
    run = play(offer)

    answer = (browser.post if name == "cancel" else browser.get)(address(name, run.pk))
    if answer.streaming:
        answer.getvalue()  # closes the file

    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_my_jobs_asks_a_stranger_to_sign_in(client: Client, db: None) -> None:
    assert client.get("/jobs/").headers["Location"].startswith("/accounts/login/")


def test_my_jobs_lists_own_and_granted_runs_open_ones_first_in_four_queries(
    click: HttpRequest,
    play: Play,
    bob: User,
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    waiting = Scripted.start(click)
    waiting.cancel()
    ended = play(lambda job: Message("done"))
    waiting = Scripted.start(click)
    Run.objects.filter(pk=ended.pk).update(title="The ended one")
    newest = Run.objects.create(job="x", title="Somebody else's", owner=bob)
    client.force_login(User.objects.get(username="ann"))

    with django_assert_num_queries(4):  # session, user, count, runs
        text = client.get("/jobs/").text

    assert text.index(f"/jobs/{waiting.pk}/") < text.index(f"/jobs/{ended.pk}/")
    assert str(newest.pk) not in text
    newest.grant(User.objects.get(username="ann"))
    assert str(newest.pk) in client.get("/jobs/").text


@pytest.mark.parametrize("page", ["-1", "999999999999", "x", "%00", "2"])
def test_my_jobs_answers_any_page_number(page: str, browser: Client, ann: User) -> None:
    Run.objects.bulk_create(Run(job="x", title="One", owner=ann) for _ in range(26))

    answer = browser.get(f"/jobs/?page={page}")

    assert answer.status_code == 200
    assert 1 <= answer.text.count("<li ") <= 25
