"""Context travels by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from django.utils import timezone, translation

from errands import register_context
from errands.tasks import carried

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


@pytest.mark.usefixtures("_tenants")
def test_what_is_not_set_does_not_travel():
    assert "tenant" not in carried.capture()


def test_a_time_zone_this_machine_has_not_is_left_out():
    with carried.activated({"time_zone": "Mars/Olympus"}):
        assert timezone.get_current_timezone_name() == "Europe/Vienna"
