"""The pytest plugin: a fixture, a marker, and nothing left behind.

Loaded before the settings are: what needs them is imported when it is used.
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

INLINE = "errands_inline"
MARKER = (
    f"{INLINE}(raise_errors=True): what the test enqueues runs at once, as within "
    "errands.testing.inline()"
)


@pytest.fixture
def errands() -> ModuleType:
    """``errands.testing``: drain, inline, travel_to, assert_enqueued and its like.

    The test asks for its database itself: ``db``, ``transactional_db`` or
    ``@pytest.mark.django_db``.
    """
    return import_module("errands.testing")


@pytest.fixture(autouse=True)
def _errands_inline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run inline what a marked test enqueues."""
    marker = request.node.get_closest_marker(INLINE)
    if marker is None:
        yield
        return
    if marker.args:
        told = ", ".join(map(repr, marker.args))
        pytest.fail(
            f"@pytest.mark.{INLINE}({told}) has arguments without a name, which it does "
            f"not take. Write @pytest.mark.{INLINE}(raise_errors=…).",
            pytrace=False,
        )
    with import_module("errands.testing").inline(**marker.kwargs):
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Let go of the test database before it is dropped."""
    if nextitem is None and "errands.sidecar" in sys.modules:
        import_module("errands.sidecar").close_sidecars()


def pytest_sessionfinish() -> None:
    """Leave no file beside a test database that has been deleted."""
    if "errands.sidecar" in sys.modules:
        import_module("errands.sidecar").remove_orphans()
