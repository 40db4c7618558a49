"""The demo's pages: who gets in, and what a browser may run there."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from errands import Run
from flights import deploys

PAGES = ["airlines", "upload", "partner", "failure", "interruption"]


def test_one_click_signs_in(client, ada):
    response = client.post(reverse("flights:log_in_as", args=["ada"]), follow=True)

    assert response.context["user"] == ada


def test_only_demo_users_sign_in_with_one_click(client, ada, django_user_model):
    django_user_model.objects.create_user("boss")

    response = client.post(reverse("flights:log_in_as", args=["boss"]))

    assert response.status_code == 404


def test_signing_in_leads_nowhere_else(client, ada):
    url = reverse("flights:log_in_as", args=["ada"])

    assert client.post(url, {"next": "//evil.example/"}).url == "/"
    assert client.post(url, {"next": "/airlines/"}).url == "/airlines/"


@pytest.mark.parametrize("page", PAGES)
def test_pages_need_a_user_and_allow_no_inline_script(client, browser, flights, page):
    response = browser.get(reverse(f"flights:{page}"))
    client.logout()
    anonymous = client.get(reverse(f"flights:{page}"))

    assert response.status_code == 200
    assert "'unsafe-inline'" not in response["Content-Security-Policy"]
    assert " style=" not in response.text
    assert anonymous.status_code == 302


@pytest.mark.parametrize(("method", "name"), [("get", "run"), ("post", "cancel")])
def test_a_run_of_somebody_else_is_to_the_byte_one_that_does_not_exist(ada, method, name):
    run = Run.objects.create(job="x", owner=ada)
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="grace"))
    paths = [reverse(f"errands:{name}", args=[pk]) for pk in (run.pk, uuid4())]

    theirs, nobodys = (getattr(client, method)(path) for path in paths)

    assert theirs.status_code == {"get": 404, "post": 403}[method]
    assert theirs.content == nobodys.content


@pytest.mark.parametrize("name", ["load", "start", "deploy"])
def test_what_changes_something_is_posted(browser, name):
    assert browser.get(reverse(f"flights:{name}")).status_code == 405


def test_a_deploy_is_asked_for_once(browser):
    browser.post(reverse("flights:deploy"))
    browser.post(reverse("flights:deploy"))

    assert deploys.take_request()
    assert not deploys.take_request()


def test_the_home_page_is_there_before_the_data(client, transactional_db):
    assert "0 of 336,776 flights are here" in client.get("/").text
