"""Columns that the engine and Django's models share."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import override_settings

from errands import instants
from errands.queue.fields import InstantField
from errands.queue.models import TaskRow

IN_BERLIN = {"USE_TZ": False, "TIME_ZONE": "Europe/Berlin"}


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

        assert str(field.get_db_prep_value(told, server)) == "2026-07-01 12:00:00.000000"
        naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001
        assert field.from_db_value(naive, None, server) == told
