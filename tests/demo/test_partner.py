"""The bundled partner, and how the site talks to it."""

import time
from collections.abc import Iterator
from threading import Thread

import pytest
from pytest_django import Settings

import partner_server
from flights import partner
from partner_server import PartnerServer


@pytest.fixture
def server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PartnerServer]:
    """Serve the register, without its latency."""
    monkeypatch.setattr(partner_server, "LATENCY", 0)
    monkeypatch.setattr(partner_server, "SLOW_LATENCY", 0)
    with PartnerServer() as server:
        settings.DEMO_PARTNER_URL = server.url
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


def test_ten_pages_have_three_thousand_planes(server):
    access_pass = partner.obtain_pass(partner_server.KEY)

    planes = [
        plane for page in range(1, 11) for plane in patiently(access_pass, page=page)
    ]

    assert len({plane["tailnum"] for plane in planes}) == 3_000


def test_calls_fail_alike_whoever_makes_them(server):
    first, second = partner.obtain_pass(partner_server.KEY), server.make_pass()

    tries = [tries_of(access_pass) for access_pass in (first, second)]

    assert tries[0] == tries[1]
    assert max(tries[0]) > 1


def test_a_wrong_key_is_refused(server):
    with pytest.raises(partner.Refused):
        partner.obtain_pass("nyc-2012")


@pytest.mark.parametrize("key", ["ключ", "a\r\nX-Other: b", "a\nb"])
def test_a_key_that_no_header_can_carry_is_refused(server, key):
    with pytest.raises(partner.Refused):
        partner.obtain_pass(key)


def test_a_key_that_is_checked_slowly_is_given_up_after_two_seconds(server, monkeypatch):
    monkeypatch.setattr(partner_server, "SLOW_KEY_TAKES", 50)
    started = time.monotonic()

    with pytest.raises(partner.Unavailable, match="no answer within 2 seconds"):
        partner.obtain_pass(partner_server.SLOW_KEY)

    assert time.monotonic() - started < 30


@pytest.mark.parametrize("made_up", ["", "x", "99999999999.", "99999999999.00"])
def test_a_pass_cannot_be_made_up(server, made_up):
    assert not server.accepts(made_up)
    with pytest.raises(partner.Refused):
        partner.fetch_planes(made_up, 1)


def test_a_pass_ends(server, monkeypatch):
    monkeypatch.setattr(partner_server, "PASS_LASTS", 0)

    assert not server.accepts(server.make_pass())


def test_a_partner_that_is_not_there_is_unavailable(settings):
    settings.DEMO_PARTNER_URL = "http://127.0.0.1:9"

    with pytest.raises(partner.Unavailable, match="no connection"):
        partner.obtain_pass(partner_server.KEY)


def tries_of(access_pass: str) -> list[int]:
    """How often each page has to be asked for."""
    return [tries_for(access_pass, page=page) for page in range(1, 11)]


def tries_for(access_pass: str, *, page: int) -> int:
    for tries in range(1, 10):
        try:
            partner.fetch_planes(access_pass, page)
        except partner.Unavailable:
            continue
        return tries
    raise AssertionError("The partner never answered.")


def patiently(access_pass: str, *, page: int) -> list[dict[str, str]]:
    for _ in range(9):
        try:
            return partner.fetch_planes(access_pass, page)
        except partner.Unavailable:
            continue
    raise AssertionError("The partner never answered.")
