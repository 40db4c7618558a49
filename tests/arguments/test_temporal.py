"""Dates and times on the wire."""

from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from pytest_django import Settings

from errands.arguments import decode, encode
from errands.exceptions import ArgumentError, DecodeError

VIENNA = ZoneInfo("Europe/Vienna")


def test_an_aware_datetime_carries_its_offset_and_the_name_of_its_zone() -> None:
    second_half_past_two = datetime(2026, 10, 25, 2, 30, tzinfo=VIENNA, fold=1)

    wire = encode(second_half_past_two)

    assert wire == {"$": "datetime", "v": "2026-10-25T02:30:00+01:00[Europe/Vienna]"}


def test_an_aware_datetime_still_adds_days_in_its_zone_after_the_journey() -> None:
    noon_before_the_change = datetime(2026, 10, 24, 12, tzinfo=VIENNA)

    arrived = decode(encode(noon_before_the_change))

    assert (arrived + timedelta(days=1)).isoformat() == "2026-10-25T12:00:00+01:00"


def test_the_instant_is_kept_where_a_zone_has_other_rules_than_at_the_sender() -> None:
    sent_with_an_offset_vienna_never_has = "2026-07-01T12:00:00+05:00[Europe/Vienna]"

    arrived = decode({"$": "datetime", "v": sent_with_an_offset_vienna_never_has})

    assert arrived == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert arrived.tzinfo is VIENNA


@pytest.mark.parametrize("fold", [0, 1])
def test_a_time_the_clocks_skip_arrives_as_it_was_written(fold: int) -> None:
    skipped = datetime(2026, 3, 29, 2, 30, tzinfo=VIENNA, fold=fold)

    arrived = decode(encode(skipped))

    assert arrived == skipped
    assert arrived.utcoffset() == skipped.utcoffset()


def test_an_offset_without_a_name_stays_an_offset() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))

    assert encode(moment) == {"$": "datetime", "v": "2026-07-01T12:00:00+05:45"}
    assert decode(encode(moment)).tzinfo == moment.tzinfo


def test_a_naive_datetime_is_refused_while_use_tz_is_on() -> None:
    naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - the point of the test

    with pytest.raises(ArgumentError) as refused:
        encode(naive)

    assert str(refused.value) == (
        "The value cannot be carried: 2026-07-01T12:00:00 has no time zone while "
        "USE_TZ is on. Make it aware: django.utils.timezone.make_aware(value)."
    )


def test_a_naive_datetime_stays_naive_while_use_tz_is_off(
    settings: Settings,
) -> None:
    settings.USE_TZ = False
    naive = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - the point of the test

    assert decode(encode(naive)) == naive


def test_a_time_keeps_its_zone() -> None:
    opening = time(7, 30, tzinfo=VIENNA)

    assert encode(opening) == {"$": "time", "v": "07:30:00[Europe/Vienna]"}
    assert decode(encode(opening)).tzinfo is VIENNA


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../../etc/passwd"])
def test_an_unknown_zone_is_a_decode_error(zone: str) -> None:
    with pytest.raises(DecodeError, match="This is not a readable 'datetime': "):
        decode({"$": "datetime", "v": f"2026-07-01T12:00:00+02:00[{zone}]"})
