"""The backends under Django's contract; the queue's runs on every database."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.test import override_settings

from errands.testing import drain

BACKENDS = {
    "queue": "errands.queue.DatabaseBackend",
    "immediate": "django.tasks.backends.immediate.ImmediateBackend",
    "dummy": "django.tasks.backends.dummy.DummyBackend",
}


def configured(kind: str) -> dict[str, object]:
    """Return TASKS for one kind of backend."""
    options = {"MAX_ATTEMPTS": 1} if kind == "queue" else {}
    return {
        "default": {
            "BACKEND": BACKENDS[kind],
            "QUEUES": ["default", "queue-1"],
            "OPTIONS": options,
        }
    }


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Set up one kind of backend as the default."""
    with override_settings(TASKS=configured(request.param)):
        yield request.param


@pytest.fixture
def run_all(kind: str) -> Callable[[], object]:
    """Return what makes enqueued tasks run on that backend."""
    return partial(drain, raise_errors=False) if kind == "queue" else lambda: None
