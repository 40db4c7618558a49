"""Instants: aware inside, the site's own at its edges."""

from datetime import MAXYEAR, UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from django.utils import timezone

from errands import instants
from errands.testing import travel_to

IN_BERLIN = {"USE_TZ": False, "TIME_ZONE": "Europe/Berlin"}
TWICE = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]


@pytest.mark.parametrize("instant", TWICE, ids=["summer", "winter"])
def test_an_instant_of_the_hour_that_comes_twice_comes_back_from_a_naive_site(instant):
    with override_settings(**IN_BERLIN):
        local = instants.for_site(instant)

        assert local == datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001
        assert instants.from_site(local) == instant
        with travel_to(instant):
            assert timezone.now() == local
            assert instants.now() == instant


def test_an_hour_that_never_comes_is_as_long_after_the_change():
    with override_settings(**IN_BERLIN):
        meant = instants.from_site(datetime(2027, 3, 28, 2, 30))  # noqa: DTZ001

    assert meant == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("year", [1, MAXYEAR])
def test_the_first_and_the_last_year_are_readable_in_every_zone(year):
    edge = datetime.min if year == 1 else datetime.max  # noqa: DTZ901

    with override_settings(USE_TZ=False, TIME_ZONE="Pacific/Auckland"):
        assert instants.from_site(edge).year == year


def test_a_site_with_time_zones_gets_the_very_instant():
    instant = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))

    assert instants.for_site(instant) is instant
    assert instants.from_site(instant) is instant


def test_a_clock_that_a_test_has_put_there_is_asked(monkeypatch):
    told = datetime(2030, 5, 5, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: told)

    assert instants.now() == told
