"""What the tests of this room share."""

import pytest

from errands.arguments import registry


@pytest.fixture
def own_converters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the test registers."""
    monkeypatch.setattr(registry, "_by_type", dict(registry._by_type))
    monkeypatch.setattr(registry, "_by_tag", dict(registry._by_tag))
