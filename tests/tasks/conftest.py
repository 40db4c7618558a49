"""What only type checkers know."""

import sys
from collections.abc import Callable

import pytest

# As Python 3.14 reads it by itself: what annotations name is not looked for.
EVALUATED_LATER = (
    "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
)
SOURCE = "def send(account: Account = 1, *, subject: str = '') -> Receipt: ..."


@pytest.fixture
def send() -> Callable[..., object]:
    """Return a function whose module imports ``Account`` for type checkers only."""
    module: dict[str, Callable[..., object]] = {}
    exec(EVALUATED_LATER + SOURCE, module)  # noqa: S102 - Python 3.13 has to read it
    return module["send"]
