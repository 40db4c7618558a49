"""When a process has done its share, and who says so."""

from collections.abc import Callable

import pytest

from errands.queue.claims import Settlement
from errands.tasks.outcomes import Succeeded
from errands.worker.leaving import EARLIEST, Leaving
from errands.worker.memory import resident_megabytes
from errands.worker.options import WorkerOptions
from errands.worker.share import Share
from errands.worker.workplace import Attempted
from tests.worker.conftest import claim_of, result_of


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def leaving(clock: list[float]) -> Callable[..., Leaving]:
    """Return a function that makes one whose share is the whole of what was told."""

    def make(megabytes: float = 0.0, share: float = 1.0, **told: int) -> Leaving:
        return Leaving(
            WorkerOptions(**told),
            share=lambda low, high: share,
            weigh=lambda: megabytes,
            clock=lambda: clock[0],
        )

    return make


def test_a_process_without_bounds_never_leaves(leaving):
    assert leaving(megabytes=1e9).reason(10**9) == ""


def test_a_process_leaves_after_so_many_attempts(leaving):
    told = leaving(max_tasks=100)

    assert told.reason(99) == ""
    assert told.reason(100) == "100 attempts"


def test_processes_that_started_together_leave_at_different_times(leaving):
    early = leaving(max_tasks=100, share=EARLIEST)

    assert early.reason(79) == ""
    assert early.reason(80) == "80 attempts"


def test_a_process_that_is_too_large_leaves(leaving):
    assert leaving(megabytes=199.0, max_rss=200).reason(1) == ""
    assert leaving(megabytes=200.0, max_rss=200).reason(1) == "200 MB"


def test_a_process_too_large_from_the_start_runs_a_task_first(leaving):
    assert leaving(megabytes=300.0, max_rss=200).reason(0) == ""


def test_memory_is_looked_at_once_a_second(leaving, clock):
    weighed = []
    told = leaving(max_rss=200)
    told._weigh = lambda: weighed.append(clock[0]) or 0.0

    for attempts in range(1, 50):
        clock[0] += 0.1
        told.reason(attempts)

    assert 4 <= len(weighed) <= 5


def test_this_very_process_holds_some_memory():
    assert 5 < (resident_megabytes() or 0) < 5000


def attempted(workplace) -> None:
    """Let the next claim in the inbox succeed."""
    claim = workplace.inbox.get_nowait()
    now = claim.enqueued_at
    settlement = Settlement(claim, Succeeded(None), now, now, "anna")
    workplace.outbox.put(Attempted(settlement, result_of(claim)))


def test_a_process_claims_no_more_than_its_share(
    courier, courier_round, workplace, remembering
):
    leaving = Leaving(WorkerOptions(max_tasks=3), share=lambda *bounds: 1.0)
    courier._share = Share(workplace, leaving)
    courier._pace.note(0.0001)
    remembering.ready = [claim_of(number) for number in range(1, 9)]

    courier_round()

    assert workplace.inbox.qsize() == 3
    assert len(remembering.ready) == 5


def test_a_leaving_process_finishes_gives_back_and_claims_nothing_more(
    courier, courier_round, workplace, remembering
):
    leaving = Leaving(
        WorkerOptions(max_rss=200), share=lambda *bounds: 1.0, weigh=lambda: 300.0
    )
    courier._share = Share(workplace, leaving)
    courier._pace.note(0.0001)
    remembering.ready = [claim_of(number) for number in range(1, 6)]
    courier_round()
    attempted(workplace)

    courier_round()
    remembering.ready = [claim_of(6)]
    courier_round()
    for announcer in courier._announcers:
        announcer.count += 1

    assert [each.claim.id for each in remembering.settled] == [1]
    assert [claim.id for claim in remembering.released] == [2, 3, 4, 5]
    assert [claim.id for claim in remembering.ready] == [6]
    assert workplace.slots.is_leaving
    assert courier._is_done
