"""The one way a run ends."""

from collections.abc import Callable

import pytest

from errands.runs.ending import end
from errands.runs.models import Run
from errands.runs.states import ENDED, State

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("state", ENDED)
def test_an_end_is_never_overwritten(new_run: Callable[..., Run], state: State) -> None:
    run = new_run()
    end(Run.objects.all(), run.pk, state=state)
    before = Run.objects.values().get()

    ended_again = end(Run.objects.all(), run.pk, state=State.FAILED)

    assert not ended_again
    assert Run.objects.values().get() == before
