"""What the bells of a process have told, for the tests of what rings them."""

import pytest

from errands.queue.committing.waking import WakeUp
from errands.worker.waking.bell import Bell, Bells


@pytest.fixture
def rung() -> list[WakeUp]:
    return []


@pytest.fixture
def bells(rung: list[WakeUp]) -> Bells:
    return Bells(
        Bell(lambda _: rung.append(WakeUp.READY), poll=0.25),
        Bell(lambda _: rung.append(WakeUp.UPKEEP), poll=1.0),
    )
