"""Instants: aware inside, the site's own at its edges, UTC in the tables."""

from datetime import MAXYEAR, UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from errands import instants
from errands.instants import InstantField
from errands.queue.models import TaskRow
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


def test_migrations_see_the_column_that_it_is():
    field = TaskRow._meta.get_field("run_at")

    assert isinstance(field, InstantField)
    assert field.deconstruct() == (
        "run_at",
        "django.db.models.DateTimeField",
        [],
        {"null": True},
    )
    assert isinstance(field.clone(), InstantField)


@pytest.mark.parametrize(
    "site", [IN_BERLIN, {"USE_TZ": True}, {"USE_TZ": True, "zone": "Asia/Tokyo"}], ids=str
)
@pytest.mark.parametrize("vendor", ["sqlite", "mysql"])
def test_where_columns_have_no_zone_they_hold_utc(monkeypatch, site, vendor):
    server, field = connection.copy(), TaskRow._meta.get_field("run_at")
    monkeypatch.setattr(server, "vendor", vendor)
    server.settings_dict["TIME_ZONE"] = site.get("zone")
    instant = datetime(2026, 7, 1, 12, tzinfo=UTC)

    with override_settings(**{name: site[name] for name in site if name != "zone"}):
        told = instants.for_site(instant)

        assert str(field.get_db_prep_value(told, server)) == "2026-07-01 12:00:00"
        naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001
        assert field.from_db_value(naive, None, server) == told
