"""Every operation of the queue: what it starts from, and how its tasks may end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.tasks import task_backends

from errands.queue.claiming.selection import Selection
from errands.queue.claiming.suspects import claim_suspect
from errands.queue.claims import Claim
from errands.queue.living import liveness, rescuing
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus
from errands.queue.store import Store
from errands.tasks.outcomes import AttemptError, Failed, Interrupted, Retry, Succeeded
from tests.testapp.models import Account
from tests.torture import tasks
from tests.torture.model import CRASHES
from tests.torture.world import EXPIRED, Worker

ERROR = AttemptError.of(ValueError("no luck"))
SOON = timedelta(seconds=1)
SUCCEEDED, CANCELLED, DISCARDED, FAILED = (
    ResultStatus.SUCCEEDED,
    ResultStatus.CANCELLED,
    ResultStatus.DISCARDED,
    ResultStatus.FAILED,
)


class Scene:
    """One queue, a worker that will not survive, and what it was given."""

    def __init__(self) -> None:
        self.backend: Any = task_backends["default"]
        self.store = Store("default")
        self.doomed = Worker(self.store, 0)
        self.known: list[UUID] = []
        self.claims: list[Claim] = []

    def add(self, task: Any, *args: Any, count: int = 1, **changes: Any) -> None:
        """Store tasks that were there before."""
        for _ in range(count):
            result = task.using(**changes).enqueue(*args)
            self.known.append(UUID(result.id))

    def add_claimed(self, task: Any, *args: Any, count: int = 1) -> None:
        """Store tasks that the doomed worker holds."""
        self.add(task, *args, count=count)
        self.claims = self.doomed.claim("*", 10)

    def add_ended(self, outcome: Any, **changes: Any) -> None:
        """Store a task that has ended."""
        self.add(tasks.plain, **changes)
        self.claims = self.doomed.claim("*", 10)
        self.settle(outcome)

    def settle(self, outcome: Any) -> None:
        """Settle what is held."""
        settlements = [self.doomed.settlement(claim, outcome) for claim in self.claims]
        self.store.settle(settlements)

    def settle_within(self, worker: Worker, claim: Claim) -> None:
        """Settle as a transactional task does: its effect with it."""
        with transaction.atomic(durable=True):
            Account.objects.create(name=str(claim.uuid))
            settlement = worker.settlement(claim, Succeeded(None))
            if not self.store.settle_within(settlement):
                transaction.set_rollback(True)

    def recover(self) -> None:
        """Let the lease pass, and a healthy worker finish all there is."""
        for worker in self.store.holders():
            liveness.heartbeat(self.store.alias, UUID(worker), EXPIRED)
        liveness.heartbeat(self.store.alias, self.doomed.identity.id, EXPIRED)
        for queue in self.store.paused():
            self.store.resume(queue)
        healthy = Worker(self.store, 0)
        for _ in range(4):
            rescuing.rescue_lost(self.store)
            TaskRow.objects.exclude(run_at=None).update(run_at="2026-01-01T00:00Z")
            self.store.stage()
            self.store.unblock()
            claims = healthy.claim("*", 20)
            claims += filter(
                None, [claim_suspect(self.store, healthy.identity.id, Selection())]
            )
            for claim in claims:
                self.settle_within(healthy, claim)


@dataclass(frozen=True)
class Operation:
    """What is done, to what, and what may become of it."""

    name: str
    prepare: Callable[[Scene], object]
    act: Callable[[Scene], object]
    ends: set[ResultStatus] = field(default_factory=lambda: {SUCCEEDED})
    stores: int = 0
    attempts: int = 1
    may_delete: bool = False
    is_transactional: bool = True

    def check(self, scene: Scene) -> None:
        """Compare what is left with what is promised."""
        assert not TaskRow.objects.exists()
        results = {row.uuid: row for row in ResultRow.objects.all()}
        new, gone = results.keys() - set(scene.known), set(scene.known) - results.keys()
        assert len(new) in {0, self.stores}
        assert not gone or self.may_delete
        effects = list(Account.objects.values_list("name", flat=True))
        assert len(effects) == len(set(effects))
        for uuid, row in results.items():
            assert row.status in self.ends | {SUCCEEDED}
            assert row.attempt <= self.attempts
            has_crashed = row.status == ResultStatus.CRASHED
            assert row.crashes == CRASHES if has_crashed else row.crashes <= 1
            has_effect = str(uuid) in effects
            assert not has_effect or row.status == SUCCEEDED
            if self.is_transactional:
                assert has_effect is (row.status == SUCCEEDED)


def enqueue_with_an_account(scene: Scene) -> None:
    """Store a task beside what it is about."""
    with transaction.atomic():
        tasks.plain.using(queue_name="b").enqueue()
        tasks.plain.enqueue()


def lose_worker(scene: Scene) -> None:
    """Let the lease of what is held run out."""
    scene.add_claimed(tasks.plain, count=3)
    liveness.heartbeat(scene.store.alias, scene.doomed.identity.id, EXPIRED)


def make_suspect(scene: Scene) -> None:
    """Let a task be what may have killed its process."""
    scene.add_claimed(tasks.plain)
    started = {claim.id for claim in scene.claims}
    worker_id = scene.doomed.identity.id
    rescuing.rescue_worker(scene.store, worker_id, started=started, cause="signal 9")


def fill_key(scene: Scene) -> None:
    """Let two tasks run beside each other, and two wait for a slot."""
    scene.add_claimed(tasks.keyed, "a", count=4)


def rescue_child(scene: Scene) -> None:
    """Take back what a dead child held, of which it had started one."""
    started = {scene.claims[0].id}
    worker_id = scene.doomed.identity.id
    rescuing.rescue_worker(scene.store, worker_id, started=started, cause="signal 9")


def nothing(scene: Scene) -> None:
    """Start from an empty queue."""


OPERATIONS = [
    Operation("enqueue", nothing, lambda scene: tasks.plain.enqueue(), stores=1),
    Operation("enqueue in a transaction", nothing, enqueue_with_an_account, stores=2),
    Operation(
        "enqueue many",
        nothing,
        lambda scene: tasks.plain.enqueue_many([((), {})] * 3),
        stores=3,
    ),
    Operation(
        "enqueue a duplicate",
        lambda scene: scene.add(tasks.single, 1),
        lambda scene: tasks.single.enqueue_many([((1,), {}), ((2,), {})]),
        stores=1,
    ),
    Operation(
        "claim",
        lambda scene: scene.add(tasks.plain, count=3),
        lambda scene: scene.doomed.claim("*", 2),
    ),
    Operation(
        "claim by key",
        lambda scene: scene.add(tasks.keyed, "a", count=4),
        lambda scene: scene.doomed.claim("*", 4),
    ),
    Operation(
        "claim a suspect",
        make_suspect,
        lambda scene: claim_suspect(
            scene.store, scene.doomed.identity.id, Selection()
        ),
        ends={ResultStatus.CRASHED},
    ),
    Operation(
        "settle as succeeded",
        lambda scene: scene.add_claimed(tasks.plain, count=2),
        lambda scene: scene.settle(Succeeded(1)),
        is_transactional=False,
    ),
    Operation(
        "settle by key",
        fill_key,
        lambda scene: scene.settle(Succeeded(1)),
        is_transactional=False,
    ),
    Operation(
        "settle as failed",
        lambda scene: scene.add_claimed(tasks.plain, count=2),
        lambda scene: scene.settle(Failed(ERROR)),
        ends={FAILED},
    ),
    Operation(
        "settle with a retry",
        lambda scene: scene.add_claimed(tasks.plain, count=2),
        lambda scene: scene.settle(Retry(SOON, ERROR)),
        attempts=2,
    ),
    Operation(
        "settle in the task's transaction",
        lambda scene: scene.add_claimed(tasks.plain),
        lambda scene: scene.settle_within(scene.doomed, scene.claims[0]),
    ),
    Operation(
        "release",
        lambda scene: scene.add_claimed(tasks.plain, count=2),
        lambda scene: scene.store.release(scene.claims),
    ),
    Operation(
        "interrupt by key", fill_key, lambda scene: scene.settle(Interrupted())
    ),
    Operation(
        "rescue the lost",
        lose_worker,
        lambda scene: rescuing.rescue_lost(scene.store),
    ),
    Operation(
        "rescue a child's",
        lambda scene: scene.add_claimed(tasks.keyed, "a", count=2),
        rescue_child,
    ),
    Operation(
        "begin once",
        lambda scene: scene.add_claimed(tasks.once),
        lambda scene: scene.store.begin(scene.claims[0]),
        ends={ResultStatus.LOST},
    ),
    Operation(
        "stage",
        lambda scene: (
            scene.add(tasks.plain, count=2, run_after=SOON),
            TaskRow.objects.update(run_at="2026-01-01T00:00Z"),
        ),
        lambda scene: scene.store.stage(),
    ),
    Operation(
        "cancel what waits for a slot",
        fill_key,
        lambda scene: scene.backend.cancel(str(scene.known[-1])),
        ends={CANCELLED},
    ),
    Operation(
        "cancel what runs",
        lambda scene: scene.add_claimed(tasks.plain),
        lambda scene: scene.backend.cancel(str(scene.known[0])),
    ),
    Operation(
        "pause",
        lambda scene: scene.add(tasks.plain),
        lambda scene: scene.store.pause("default"),
    ),
    Operation(
        "resume",
        lambda scene: (scene.add(tasks.plain), scene.store.pause("default")),
        lambda scene: scene.store.resume("default"),
    ),
    Operation(
        "retry a result",
        lambda scene: scene.add_ended(Failed(ERROR)),
        lambda scene: scene.store.retry(scene.known[0]),
        ends={FAILED},
    ),
    Operation(
        "discard what waits",
        lambda scene: scene.add(tasks.plain, count=2),
        lambda scene: scene.store.discard(scene.known[0]),
        ends={DISCARDED},
    ),
    Operation(
        "discard a result",
        lambda scene: scene.add_ended(Failed(ERROR)),
        lambda scene: scene.store.discard(scene.known[0]),
        ends={FAILED},
        may_delete=True,
    ),
    Operation(
        "prune",
        lambda scene: (
            scene.add_ended(Failed(ERROR)),
            ResultRow.objects.update(finished_at="2026-01-01T00:00Z"),
            scene.add(tasks.plain),
        ),
        lambda scene: scene.store.prune(),
        ends={FAILED},
        may_delete=True,
    ),
]  # fmt: skip
