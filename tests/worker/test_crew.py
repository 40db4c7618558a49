"""What becomes of the threads when the courier ends, however it ends."""

from uuid import UUID, uuid4

import pytest

from errands.queue.living.liveness import living
from errands.worker.crew import Crew
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crew(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> Crew:
    """Return a crew whose threads are not started."""
    slots.identify(uuid4())
    crew = Crew(WorkerOptions(threads=1, coroutines=1), Stop(grace=1.0), slots)
    monkeypatch.setattr(crew, "_threads", [])
    return crew


def test_a_courier_that_breaks_keeps_no_lease_alive(crew, slots, monkeypatch):
    def stumble() -> bool:
        raise RuntimeError("a stone")

    crew._heartbeat.beat()
    monkeypatch.setattr(crew._courier, "work", stumble)

    with pytest.raises(RuntimeError, match="a stone"):
        crew.work()

    # The row stays until its lease ends, and nobody makes it longer.
    assert worker_is_living(slots.worker_id)
    assert not crew._heartbeat.may_claim
    assert crew._heartbeat._is_retired


def test_a_courier_that_settled_all_leaves_no_row(crew, slots, monkeypatch):
    crew._heartbeat.beat()
    monkeypatch.setattr(crew._courier, "work", lambda: True)

    assert crew.work()
    assert not worker_is_living(slots.worker_id)


def worker_is_living(worker_id: UUID) -> bool:
    return worker_id.hex in living("default")
