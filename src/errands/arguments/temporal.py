"""Dates, times and durations: ISO 8601, with the zone's name as in RFC 9557.

An aware datetime travels as ``2026-10-25T02:30:00+01:00[Europe/Vienna]``: the
offset fixes the instant, the name keeps the zone for what is computed from it.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_duration
from django.utils.duration import duration_iso_string

from errands.arguments.converter import Converter


def _encode_datetime(moment: datetime) -> str:
    if settings.USE_TZ and timezone.is_naive(moment):
        raise ValueError(
            f"{moment.isoformat()} has no time zone while USE_TZ is on. Make it "
            "aware: django.utils.timezone.make_aware(value)."
        )
    return moment.isoformat() + _zone_name(moment)


def _decode_datetime(text: str) -> datetime:
    iso, zone = _split_zone_name(text)
    moment = datetime.fromisoformat(iso)
    return _in_zone(moment, zone) if zone else moment


def _in_zone(moment: datetime, zone: ZoneInfo) -> datetime:
    for fold in (0, 1):
        local = moment.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == moment.utcoffset():
            return local
    # The zone's rules differ here from those of the sender: keep the instant.
    return moment.astimezone(zone)


def _parse_datetime(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if settings.USE_TZ and timezone.is_naive(moment):
        return timezone.make_aware(moment)
    return moment


def _encode_time(clock: time) -> str:
    return clock.isoformat() + _zone_name(clock)


def _decode_time(text: str) -> time:
    iso, zone = _split_zone_name(text)
    clock = time.fromisoformat(iso)
    return clock.replace(tzinfo=zone) if zone else clock


def _zone_name(value: datetime | time) -> str:
    zone = value.tzinfo
    return f"[{zone.key}]" if isinstance(zone, ZoneInfo) and zone.key else ""


def _split_zone_name(text: str) -> tuple[str, ZoneInfo | None]:
    iso, _, name = text.removesuffix("]").partition("[")
    try:
        return iso, ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"This machine knows no time zone {name!r}.") from error


def _read_duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if duration is None:
        raise ValueError(f"{text!r} is not a duration.")
    return duration


TEMPORAL = (
    Converter(
        type=date,
        tag="date",
        encode=date.isoformat,
        decode=date.fromisoformat,
        parse=date.fromisoformat,
        describe="a date such as 2026-12-31",
    ),
    Converter(
        type=datetime,
        tag="datetime",
        encode=_encode_datetime,
        decode=_decode_datetime,
        parse=_parse_datetime,
        describe="a date and time such as 2026-12-31T23:59",
    ),
    Converter(
        type=time,
        tag="time",
        encode=_encode_time,
        decode=_decode_time,
        parse=time.fromisoformat,
        describe="a time such as 23:59",
    ),
    Converter(
        type=timedelta,
        tag="timedelta",
        encode=duration_iso_string,
        decode=_read_duration,
        parse=_read_duration,
        describe="a duration such as 1:30:00 or P2DT12H",
    ),
)
