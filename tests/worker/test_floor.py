"""Who of a process runs Python: executors begin nothing while the courier does."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.db import (
    DatabaseError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim, Settlement
from errands.tasks.outcomes import Succeeded
from errands.worker import courier as courier_module
from errands.worker import floor as floor_module
from errands.worker.attempts.making import Attempts
from errands.worker.courier import Courier
from errands.worker.executor import Executor
from errands.worker.floor import Floor
from errands.worker.loop import Loop
from errands.worker.workplace import Attempted, Workplace
from tests.testapp import tasks
from tests.worker.conftest import RememberingStore, claim_of

SOON, PATIENCE = 0.05, 10.0


@pytest.fixture
def floor() -> Floor:
    return Floor()


@pytest.fixture
def watched(floor: Floor) -> Iterator[list[bool]]:
    """Whether executors could start while each statement of a connection ran."""
    could_start: list[bool] = []

    def watch(execute: Callable[..., object], *asked: object) -> object:
        could_start.append(floor.is_free)
        return execute(*asked)

    with connection.execute_wrapper(floor.left), connection.execute_wrapper(watch):
        yield could_start


@pytest.fixture
def claim(real_workplace: Workplace) -> Callable[[], Claim]:
    return lambda: real_workplace.store.claim(uuid4(), Selection(), 1)[0]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor_module, "LONGEST_SECONDS", PATIENCE)


def ask(statement: str = "SELECT 1") -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def begin(workplace: Workplace, claim: Claim) -> threading.Thread:
    """Let an executor have one claim."""
    attempts = Attempts(workplace)
    executor = Executor(0, workplace, attempts, loop=Loop(workplace, attempts))
    workplace.inbox.put(claim)
    workplace.inbox.put(None)
    executor.start()
    return executor


def test_an_executor_begins_nothing_until_the_floor_is_left(
    patient, real_workplace: Workplace, claim
):
    tasks.add.enqueue(1)
    real_workplace.floor.take()

    executor = begin(real_workplace, claim())
    executor.join(SOON)
    begun = real_workplace.slots.started
    real_workplace.floor.leave()
    executor.join(PATIENCE)

    attempted = real_workplace.outbox.get_nowait()
    assert begun == set()
    assert attempted is not None
    assert attempted.settlement.outcome == Succeeded(2)


def test_a_courier_that_never_leaves_holds_nobody_up_for_long(
    real_workplace: Workplace, claim
):
    tasks.add.enqueue(1)
    real_workplace.floor.take()

    executor = begin(real_workplace, claim())
    executor.join(PATIENCE)

    assert not executor.is_alive()
    assert real_workplace.outbox.qsize() == 1


@pytest.mark.django_db(transaction=True)
def test_it_is_left_while_the_database_is_asked(floor: Floor, watched: list[bool]):
    floor.take()

    ask()

    assert watched[-1]
    assert not floor.is_free


@pytest.mark.django_db(transaction=True)
def test_what_was_not_taken_before_is_not_taken_after(floor: Floor, watched: list[bool]):
    ask()

    assert all([*watched, floor.is_free])


@pytest.mark.django_db(transaction=True)
def test_it_is_not_taken_again_before_a_commit(floor: Floor, watched: list[bool]):
    floor.take()

    with transaction.atomic():
        ask()
        before_commit = floor.is_free

    assert all([*watched, before_commit])


@pytest.mark.django_db(transaction=True)
def test_it_is_not_taken_again_when_the_database_refuses(floor: Floor, watched):
    floor.take()

    with pytest.raises(DatabaseError):
        ask("SELECT FROM nowhere at all")

    assert floor.is_free


def test_a_courier_leaves_it_while_it_waits_for_outcomes(
    courier: Courier, workplace: Workplace
):
    could_start: list[bool] = []
    get = workplace.outbox.get

    class Outbox:
        def get(self, **patience: float) -> object:
            could_start.append(workplace.floor.is_free)
            return get(**patience)

        def __getattr__(self, name: str) -> object:
            return getattr(outbox, name)

    outbox = workplace.outbox
    object.__setattr__(workplace, "outbox", Outbox())
    workplace.floor.take()

    courier._go_round()

    assert could_start == [True]


@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_a_courier_takes_it_for_more_than_threads_can_begin(
    courier: Courier, workplace: Workplace, remembering: RememberingStore, number: int
):
    could_start: list[bool] = []

    def settle(settlements: list[Settlement]) -> dict[int, Settlement]:
        could_start.append(workplace.floor.is_free)
        return {each.claim.id: each for each in settlements}

    remembering.settle = settle
    for claim in map(claim_of, range(number)):
        courier._hand.take(claim)
        settlement = Settlement(claim, Succeeded(None), now := timezone.now(), now, "a")
        workplace.outbox.put(Attempted(settlement, None))

    courier._go_round()

    assert could_start == [number <= workplace.options.executors]


def test_a_courier_leaves_it_on_a_new_connection_too(
    monkeypatch, courier: Courier, workplace: Workplace, remembering: RememberingStore
):
    opened: dict[str, BaseDatabaseWrapper] = {}
    left: list[bool] = []

    def open_another() -> None:
        opened["default"] = connections.create_connection("default")

    def claim(*_: object, **__: object) -> list[Claim]:
        left.append(workplace.floor.left in opened["default"].execute_wrappers)
        return []

    monkeypatch.setattr(courier_module, "connections", opened)
    monkeypatch.setattr(courier_module, "renew_after_outage", open_another)
    remembering.claim = claim

    courier._go_round()
    courier._go_round()

    assert left == [True, True]
    assert not opened["default"].execute_wrappers


@pytest.mark.parametrize("outage", [[], [OperationalError("gone")]])
def test_a_courier_leaves_it_in_an_outage_and_for_good(
    courier: Courier, workplace: Workplace, remembering: RememberingStore, outage
):
    workplace.floor.take()
    remembering.outage = outage

    courier.work()

    assert workplace.floor.is_free


def test_a_courier_that_breaks_leaves_it(
    monkeypatch, courier: Courier, workplace: Workplace
):
    def taken_and_broken() -> None:
        workplace.floor.take()
        raise RuntimeError("a thread has died")

    monkeypatch.setattr(courier, "_miss_nobody", taken_and_broken)

    with pytest.raises(RuntimeError):
        courier.work()

    assert workplace.floor.is_free


def test_who_waits_goes_on_when_it_is_left(patient, floor: Floor):
    floor.take()
    waiting = threading.Thread(target=floor.wait, daemon=True)
    waiting.start()
    began = time.monotonic()

    floor.leave()
    waiting.join(PATIENCE)

    assert time.monotonic() - began < PATIENCE
