"""What tests of tasks and jobs need: run what waits, and say what should.

Importing this needs no settings: names are loaded when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errands.testing.assertions import assert_enqueued, assert_not_enqueued
    from errands.testing.cases import TaskTestMixin
    from errands.testing.draining import Drained, drain
    from errands.testing.inlining import inline
    from errands.testing.travelling import travel_to

_HOMES = {
    "TaskTestMixin": "errands.testing.cases",
    "Drained": "errands.testing.draining",
    "assert_enqueued": "errands.testing.assertions",
    "assert_not_enqueued": "errands.testing.assertions",
    "drain": "errands.testing.draining",
    "inline": "errands.testing.inlining",
    "travel_to": "errands.testing.travelling",
}

__all__ = [
    "Drained",
    "TaskTestMixin",
    "assert_enqueued",
    "assert_not_enqueued",
    "drain",
    "inline",
    "travel_to",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'errands.testing' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
