"""Context travels by name."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation

from errands import register_context
from errands.tasks import carried
from errands.tasks.carried import CarriedContext

tenant: ContextVar[str | None] = ContextVar("tenant", default=None)


@contextmanager
def as_tenant(name: str) -> Iterator[None]:
    token = tenant.set(name)
    yield
    tenant.reset(token)


@pytest.fixture
def _tenants() -> Iterator[None]:
    register_context("tenant", capture=tenant.get, activate=as_tenant)
    yield
    del carried._registered["tenant"]


@pytest.mark.usefixtures("_tenants")
def test_a_registered_context_travels():
    with as_tenant("acme"), translation.override("de"):
        captured = carried.capture()

    with carried.activated(captured):
        assert (tenant.get(), translation.get_language()) == ("acme", "de")
    assert tenant.get() is None


def test_where_nothing_is_set_to_be_captured_the_callers_is_activated(monkeypatch):
    region = ContextVar[str]("region")

    @contextmanager
    def in_region(name: str) -> Iterator[None]:
        region.set(name)
        yield

    monkeypatch.setitem(
        carried._registered, "region", carried.CarriedContext(region.get, in_region)
    )

    with carried.activated({"region": "north"}):
        assert region.get() == "north"


@pytest.mark.usefixtures("_tenants")
def test_what_is_not_set_does_not_travel():
    assert "tenant" not in carried.capture()


def undecorated(name: str) -> Iterator[None]:
    """Stand in for a context manager without its decorator."""
    yield


async def capture_late() -> str:
    """Stand in for what nobody would await."""
    return "acme"


@pytest.mark.usefixtures("_tenants")
@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        (5, {}, "The name of a context is 5; it takes a text."),
        ("", {}, "The name of a context is ''; it takes a text."),
        (
            "site",
            {"capture": "acme"},
            "capture of the context 'site' is 'acme'; it takes a plain function.",
        ),
        (
            "site",
            {"capture": capture_late},
            "capture of the context 'site' is async; it takes a plain function.",
        ),
        (
            "site",
            {"activate": None},
            "activate of the context 'site' is None; it takes a plain function.",
        ),
        (
            "site",
            {"activate": undecorated},
            (
                "activate of the context 'site' is a generator, not a context manager. "
                "Decorate it with contextlib.contextmanager."
            ),
        ),
        (
            "tenant",
            {"capture": str},
            "There is a context 'tenant' already. Choose another name.",
        ),
    ],
)
def test_what_cannot_travel_is_refused_when_it_is_registered(name, changed, message):
    options = {"capture": tenant.get, "activate": as_tenant}

    with pytest.raises((TypeError, ValueError)) as refused:
        register_context(name, **options | changed)

    assert str(refused.value) == message
    assert carried._registered.keys() == {"language", "time_zone", "tenant"}
    register_context("tenant", **options)


def test_what_a_capture_raises_at_the_call_says_whose_it_is(monkeypatch):
    unset = CarriedContext(ContextVar[str]("region").get, as_tenant)
    monkeypatch.setitem(carried._registered, "region", unset)

    with pytest.raises(LookupError) as error:
        carried.capture()

    assert error.value.__notes__ == [
        "Raised by capture of the context 'region'; it returns None for nothing."
    ]


@pytest.mark.usefixtures("_tenants")
def test_what_is_captured_must_be_a_text():
    with as_tenant(7), pytest.raises(TypeError) as refused:
        carried.capture()

    assert str(refused.value) == (
        "The context 'tenant' was captured as 7; its capture returns a text, or None."
    )


@pytest.mark.parametrize(
    "zone",
    [
        timezone.get_fixed_timezone(330),
        timezone.get_fixed_timezone(-570),
        dt.timezone(dt.timedelta(hours=5), "anywhere"),
        ZoneInfo("Asia/Kolkata"),
        dt.UTC,
    ],
)
def test_every_time_zone_travels(zone):
    noon = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
    with timezone.override(zone):
        captured = carried.capture()

    with carried.activated(captured):
        arrived = timezone.localtime(noon)

    assert arrived.isoformat() == noon.astimezone(zone).isoformat()


def test_a_time_zone_this_machine_has_not_is_left_out():
    with carried.activated({"time_zone": "Mars/Olympus"}):
        assert timezone.get_current_timezone_name() == "Europe/Vienna"


def in_a_new_context(captured: dict[str, str]) -> tuple[str, str]:
    def run() -> tuple[str, str]:
        with carried.activated(captured):
            return translation.get_language(), timezone.get_current_timezone_name()

    return Context().run(run)


AS_BEGUN = {"language": "en", "time_zone": "Europe/Vienna"}


def captured_after(*changes: Callable[[], object]) -> dict[str, str]:
    """Return what is captured after these, in a context of its own."""

    def run() -> dict[str, str]:
        for change in changes:
            change()
        return carried.capture()

    return Context().run(run)


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ([], {}),
        ([partial(translation.activate, "de")], {"language": "de"}),
        ([partial(timezone.activate, "Asia/Tokyo")], {"time_zone": "Asia/Tokyo"}),
        (
            [
                partial(timezone.activate, "Asia/Tokyo"),
                partial(translation.activate, "de"),
            ],
            {"language": "de", "time_zone": "Asia/Tokyo"},
        ),
        ([partial(translation.activate, "de"), translation.deactivate], {}),
        ([partial(timezone.activate, "Asia/Tokyo"), timezone.deactivate], {}),
    ],
)
def test_what_somebody_has_changed_is_captured_as_it_is_now(changes, differing):
    assert captured_after(*changes) == AS_BEGUN | differing


def test_where_nobody_speaks_a_language_none_travels():
    assert captured_after(translation.deactivate_all).keys() == {"time_zone"}


def test_what_nobody_has_changed_is_not_asked_for(monkeypatch):
    captured_after()
    asked: list[str] = []
    for name, context in carried._registered.items():
        note = CarriedContext(partial(asked.append, name), context.activate)
        monkeypatch.setitem(carried._registered, name, note)

    assert captured_after() == AS_BEGUN
    assert asked == []


def test_what_is_captured_follows_the_settings(settings):
    captured_after()

    settings.LANGUAGE_CODE, settings.TIME_ZONE = "de", "Asia/Tokyo"

    assert captured_after() == {"language": "de", "time_zone": "Asia/Tokyo"}


@pytest.fixture
def _language_of_its_own() -> Iterator[None]:
    """Have a site that captures the language in its own way."""
    context, change = carried._registered["language"], carried._changes["language"]
    register_context("language", capture=lambda: "la", activate=translation.override)
    yield
    carried._registered["language"] = context
    carried._changes["language"] = change
    carried._as_begun.cache_clear()


@pytest.mark.usefixtures("_language_of_its_own")
def test_a_language_that_the_site_captures_itself_is_always_asked_for():
    assert captured_after() == AS_BEGUN | {"language": "la"}


def test_a_new_thread_needs_no_activation_where_nothing_differs(monkeypatch):
    as_begun = Context().run(carried.capture)
    in_a_new_context(as_begun)
    asked = []
    monkeypatch.setattr(carried, "_activated", asked.append)

    assert in_a_new_context(as_begun) == ("en", "Europe/Vienna")
    assert asked == []


def test_what_a_new_thread_begins_with_follows_the_settings(settings):
    as_begun = Context().run(carried.capture)
    in_a_new_context(as_begun)
    settings.TIME_ZONE = "Asia/Tokyo"

    assert in_a_new_context(as_begun) == ("en", "Europe/Vienna")


def test_what_has_changed_before_the_attempt_is_put_right():
    as_begun = Context().run(carried.capture)
    changed = Context()
    changed.run(translation.activate, "de")

    def run() -> str:
        with carried.activated(as_begun):
            return translation.get_language()

    assert changed.run(run) == "en"
