"""Coroutines side by side: each has its own context, none takes others down."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EMFILE
from pathlib import Path
from queue import Empty
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.tasks.signals import task_started
from django.utils import translation

from errands.exceptions import TaskCancelled
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Claim
from errands.queue.store import Store
from errands.tasks.outcomes import Cancelled, Failed, Interrupted, Succeeded
from errands.worker.attempts import leftovers
from errands.worker.attempts.attempt import Attempt
from errands.worker.attempts.making import Attempts, _alone
from errands.worker.executor import Executor
from errands.worker.loop import Loop
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.workplace import Attempted, Workplace
from tests.testapp.tasks import think
from tests.worker import tasks

pytestmark = [
    pytest.mark.filterwarnings("ignore::errands.queue.backend.UnfindableTask"),
]

COROUTINES = 100


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    for each in (tasks.begun, tasks.released):
        each.clear()
    for listed in (tasks.cancelled, tasks.present):
        listed.clear()
    yield
    tasks.released.set()


@pytest.fixture
def workplace(transactional_db: None, tmp_path: Path) -> Iterator[Workplace]:
    slots = Slots.create(tmp_path / "slots", places=1 + COROUTINES)
    yield Workplace(
        options=WorkerOptions(threads=1, coroutines=COROUTINES),
        store=Store("default"),
        stop=Stop(grace=25.0),
        slots=slots,
        name="anna",
    )
    slots.close()


@pytest.fixture
def executor(workplace: Workplace) -> Executor:
    attempts = Attempts(workplace)
    return Executor(0, workplace, attempts, loop=Loop(workplace, attempts))


@pytest.fixture
def start(workplace: Workplace, executor: Executor) -> Callable[[int], list[Claim]]:
    """Return a function that claims so many and lets the executor take them."""

    def start(count: int) -> list[Claim]:
        claims = workplace.store.claim(uuid4(), Selection(), count)
        for claim in claims:
            executor._start(claim)
        return claims

    return start


@pytest.fixture
def ended(workplace: Workplace) -> Callable[[int], list[Attempted]]:
    """Return a function that waits for the ends of so many attempts."""

    def ended(count: int) -> list[Attempted]:
        ends: list[Attempted] = []
        with suppress(Empty):
            while len(ends) < count:
                attempted = workplace.outbox.get(timeout=60)
                if attempted is not None:
                    ends.append(attempted)
        return ends

    return ended


def outcomes(ends: list[Attempted]) -> list[Any]:
    return [each.settlement.outcome for each in ends]


def test_a_hundred_coroutines_run_at_once_beside_one_thread(start, ended, workplace):
    tasks.meet.enqueue_many([((COROUTINES,), {})] * COROUTINES)

    start(COROUTINES)
    ends = ended(COROUTINES)

    assert outcomes(ends) == [Succeeded(COROUTINES)] * COROUTINES
    assert not workplace.awaiting
    assert not workplace.controls


def test_each_coroutine_has_its_own_language_and_context(start, ended):
    for language in ("de", "en", "de", "en"):
        with translation.override(language):
            tasks.speak.enqueue()

    start(4)
    spoken = [outcome.return_value for outcome in outcomes(ended(4))]

    assert sorted(spoken) == [["de", "fr", "True"]] * 2 + [["en", "it", "True"]] * 2


def test_a_coroutine_has_the_context_that_receivers_of_its_start_have_made(start, ended):
    def trace(task_result: Any, **told: Any) -> None:
        tasks.trace.set(task_result.id)

    task_started.connect(trace)
    results = tasks.traced.enqueue_many([((), {})] * 3)

    start(3)
    task_started.disconnect(trace)

    traced = {outcome.return_value for outcome in outcomes(ended(3))}
    assert traced == {result.id for result in results}


def test_what_a_task_has_left_running_is_cancelled(start, ended):
    tasks.leave_behind.enqueue()

    start(1)

    assert outcomes(ended(1)) == [Succeeded("done")]
    assert tasks.cancelled == ["left behind"]


def test_what_a_task_has_left_running_is_found_behind_a_factory_of_another(start, ended):
    tasks.refuse_contexts.enqueue()
    start(1)
    ended(1)
    tasks.leave_behind.enqueue()
    start(1)

    assert outcomes(ended(1)) == [Succeeded("done")]
    assert tasks.cancelled == ["left behind"]


def test_an_attempt_that_has_begun_needs_no_factory():
    def refuse(loop: asyncio.AbstractEventLoop, work: object, **told: object) -> None:
        raise RuntimeError("made nothing")

    async def answer() -> Succeeded:
        return Succeeded(1)

    async def attempt() -> object:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(refuse)
        try:
            return await _alone(answer())
        finally:
            loop.set_task_factory(None)

    assert asyncio.run(attempt()) == Succeeded(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        (tasks.exit_in_child, Failed),
        (tasks.exit_in_forgotten_child, Succeeded),
        (tasks.stop_loop, Succeeded),
        (tasks.refuse_contexts, Succeeded),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_no_task_ends_the_loop(start, ended, task, outcome):
    tasks.hold.enqueue(7)
    start(1)
    task.enqueue()
    start(1)

    (first,) = outcomes(ended(1))
    think.enqueue(1)
    start(1)
    (second,) = outcomes(ended(1))
    tasks.released.set()

    assert isinstance(first, outcome)
    assert second == Succeeded(1)
    assert outcomes(ended(1)) == [Succeeded(7)]


def test_a_task_that_cancels_everybody_ends_itself_alone(start, ended, workplace):
    tasks.hold.enqueue_many([((number,), {}) for number in range(3)])
    start(3)
    tasks.cancel_everybody.enqueue()

    start(1)
    (own,) = outcomes(ended(1))
    tasks.released.set()
    others = outcomes(ended(3))

    assert isinstance(own, Failed)
    assert sorted(each.return_value for each in others) == [0, 1, 2]
    assert not workplace.awaiting
    think.enqueue(1)
    start(1)
    assert outcomes(ended(1)) == [Succeeded(1)]


def test_where_no_place_is_free_the_executor_awaits_the_task_itself(
    start, ended, executor
):
    while not executor._loop._places.empty():
        executor._loop._places.get()
    think.enqueue(5)

    start(1)

    assert outcomes(ended(1)) == [Succeeded(5)]


def test_an_executor_that_awaits_a_task_itself_can_be_interrupted(
    start, ended, executor, workplace
):
    attempts = Attempts(workplace)
    tasks.await_cancel.enqueue()
    (claim,) = workplace.store.claim(uuid4(), Selection(), 1)
    ready = attempts.prepare(claim)
    assert isinstance(ready, Attempt)
    ready.control.interrupt(TaskCancelled)

    attempted = attempts.run(ready)

    assert isinstance(attempted.settlement.outcome, Cancelled)


def test_a_system_without_threads_for_a_loop_costs_no_task(
    start, ended, executor, monkeypatch
):
    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(executor._loop, "_started_loop", refuse)
    think.enqueue(5)

    start(1)

    assert outcomes(ended(1)) == [Succeeded(5)]


def test_a_process_without_files_for_a_loop_stops_and_costs_no_task(
    start, ended, workplace, monkeypatch
):
    def refuse() -> None:
        raise OSError(EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    think.enqueue(5)

    start(1)

    assert outcomes(ended(1)) == [Interrupted()]
    assert workplace.stop.is_requested


def test_places_are_named_and_given_back(start, ended, workplace, executor):
    tasks.hold.enqueue_many([((number,), {}) for number in range(3)])

    claims = start(3)
    named = workplace.slots.started
    tasks.released.set()
    ended(3)

    assert {claim.id for claim in claims} <= named
    assert executor._loop._places.qsize() == COROUTINES


@pytest.mark.parametrize("place", ["on the loop", "in a thread"])
def test_what_refuses_to_end_holds_up_nobody(
    workplace, executor, start, ended, monkeypatch, place
):
    monkeypatch.setattr(leftovers, "LEFTOVER_SECONDS", 0.01)
    if place == "in a thread":
        monkeypatch.setattr(executor._loop, "take", lambda attempt: False)
    tasks.leave_a_stubborn_one.enqueue()

    start(1)

    assert outcomes(ended(1)) == [Succeeded("done")]
    assert "refused" in tasks.cancelled


def test_a_loop_whose_descriptors_are_gone_stops_its_process(
    workplace, executor, monkeypatch, caplog
):
    def broken() -> None:
        raise OSError("Bad file descriptor")

    loop = asyncio.new_event_loop()
    monkeypatch.setattr(loop, "run_forever", broken)

    of_the_loop = Thread(target=executor._loop._run, args=[loop])
    of_the_loop.start()
    of_the_loop.join(60)
    loop.close()

    assert workplace.stop.is_requested
    assert "the event loop is broken" in caplog.text


def test_the_thread_of_a_loop_that_a_task_has_broken_ends_and_is_missed(
    workplace, caplog
):
    begun: list[Thread] = []
    attempts = Attempts(workplace)
    loop = Loop(workplace, attempts, begun=begun.append)
    tasks.break_the_loop.enqueue()
    (claim,) = workplace.store.claim(uuid4(), Selection(), 1)

    Executor(0, workplace, attempts, loop=loop)._start(claim)
    (thread,) = begun
    thread.join(60)
    assert loop._loop is not None
    loop._loop.close()

    assert not thread.is_alive()
    assert caplog.text.count("the event loop is broken") == 1
    assert not workplace.stop.is_requested


def test_an_attempt_on_the_loop_of_a_caller_ends_nothing_of_his(workplace, executor):
    tasks.leave_behind.enqueue()
    (claim,) = workplace.store.claim(uuid4(), Selection(), 1)
    make = sync_to_async(executor._attempts.make)

    async def call() -> tuple[Attempted, bool]:
        his = asyncio.create_task(asyncio.sleep(3600))
        attempted = await make(claim)
        was_left_alone = not (his.done() or his.cancelling())
        his.cancel()
        return attempted, was_left_alone

    attempted, was_left_alone = asyncio.run(call())

    assert attempted.settlement.outcome == Succeeded("done")
    assert was_left_alone
