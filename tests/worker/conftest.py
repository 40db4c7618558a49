"""A workplace without processes, and a store that only remembers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.db import Error
from django.utils import timezone

from errands.queue.claiming.horizon import Horizon
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim, Settlement, dump_call, dump_ending
from errands.queue.store import Store
from errands.worker import courier as courier_module
from errands.worker.announcing import Announcer
from errands.worker.courier import Courier
from errands.worker.options import WorkerOptions
from errands.worker.outage import Outage
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.workplace import Workplace


def claim_of(number: int, *, token: int = 1, path: str = "shop.tasks.nothing") -> Claim:
    now = timezone.now()
    return Claim(
        id=number,
        uuid=uuid4(),
        token=token,
        path=path,
        payload=dump_call([], {}, ending=dump_ending({}, {})),
        queue="default",
        priority=0,
        attempt=1,
        max_attempts=1,
        crashes=0,
        releases=0,
        enqueued_at=now,
        run_at=None,
        started_at=None,
        claimed_at=now,
        errors=[],
        worker_ids=[],
        metadata={},
    )


def result_of(claim: Claim, *, is_of_job: bool = True) -> SimpleNamespace:
    """Return the result of a task; the end of a job's always interests somebody."""
    task = SimpleNamespace(is_cooperative=is_of_job, module_path=claim.path)
    return SimpleNamespace(
        id=str(claim.uuid), task=task, status="SUCCESSFUL", args=[], kwargs={}
    )


class RememberingStore:
    """Hands out ``ready``; whatever is in ``outage`` is raised first."""

    alias = "default"

    def __init__(self) -> None:
        self.backend = SimpleNamespace(finished_result=lambda *told: None)
        self.ready: list[Claim] = []
        self.held: list[Claim] = []
        self.settled: list[Settlement] = []
        self.batches: list[int] = []
        self.released: list[Claim] = []
        self.lost: set[int] = set()
        self.handed_over: list[tuple[UUID, UUID]] = []
        self.asked: list[int] = []
        self.outage: list[Error] = []

    def claim(
        self,
        worker_id: UUID,
        selection: Selection,
        limit: int,
        *,
        horizon: Horizon | None = None,
    ) -> list[Claim]:
        self._may_fail()
        self.asked.append(limit)
        taken, self.ready = self.ready[:limit], self.ready[limit:]
        return taken

    def settle(self, settlements: list[Settlement]) -> dict[int, Settlement]:
        self._may_fail()
        self.settled += settlements
        self.batches.append(len(settlements))
        held = (each for each in settlements if each.claim.id not in self.lost)
        return {each.claim.id: self.recorded(each) for each in held}

    def recorded(self, settlement: Settlement) -> Settlement:
        """What a settlement comes to; tests have another one here for a refusal."""
        return settlement

    def release(self, claims: list[Claim]) -> int:
        self._may_fail()
        self.released += claims
        return len(claims)

    def paused(self) -> frozenset[str]:
        return frozenset()

    def held_by(self, worker: str, limit: int) -> list[Claim]:
        return self.held

    def hand_over(self, worker_id: UUID, *, to: UUID) -> int:
        self._may_fail()
        self.handed_over.append((worker_id, to))
        return len(self.held)

    def is_drained(self, selection: Selection) -> bool:
        return not self.ready

    def _may_fail(self) -> None:
        if self.outage:
            raise self.outage.pop()


@pytest.fixture
def remembering() -> RememberingStore:
    return RememberingStore()


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    slots = Slots.create(tmp_path / "slots", places=4)
    yield slots
    slots.close()


@pytest.fixture
def workplace(remembering: RememberingStore, slots: Slots) -> Workplace:
    """Two threads' worth of work that nobody does, with a burst's end."""
    return Workplace(
        options=WorkerOptions(threads=2, burst=True),
        store=remembering,  # type: ignore[arg-type]
        stop=Stop(grace=25.0),
        slots=slots,
        name="anna",
    )


@pytest.fixture
def real_workplace(transactional_db: None, slots: Slots) -> Workplace:
    """A workplace on the real queue."""
    return Workplace(
        options=WorkerOptions(threads=2),
        store=Store("default"),
        stop=Stop(grace=25.0),
        slots=slots,
        name="anna",
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "COURIER_POLL_SECONDS", 0.001)
    monkeypatch.setattr(courier_module, "OVERRUN_SECONDS", 0.001)
    monkeypatch.setattr(
        courier_module, "Outage", lambda loop: Outage(loop, sleep=[].append)
    )


@pytest.fixture
def heartbeat() -> SimpleNamespace:
    return SimpleNamespace(may_claim=True, identity=SimpleNamespace(id=uuid4()))


@pytest.fixture
def announcer(workplace: Workplace) -> Announcer:
    return Announcer(workplace)


@pytest.fixture
def courier(impatient, workplace, heartbeat, announcer) -> Courier:
    return Courier(workplace, heartbeat, [announcer])


@pytest.fixture
def courier_round(courier: Courier) -> Callable[[], None]:
    """Return what lets the courier go round once."""
    return courier._go_round
