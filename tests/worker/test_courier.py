"""The courier: what it claims, settles and gives back, round by round.

No executor runs: the tests take claims from the inbox and put outcomes into
the outbox themselves, so that each round is the only thing that happens.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.tasks.signals import task_finished
from django.utils import timezone

from errands.queue.claiming.horizon import Mark
from errands.queue.claims import Claim, Settlement
from errands.tasks.hearing import LOGGING
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    Succeeded,
)
from errands.worker.courier import Courier
from errands.worker.workplace import Attempted, Workplace
from tests.worker.conftest import RememberingStore, claim_of, result_of

ERROR = AttemptError.of(ValueError("no luck"))


@pytest.fixture
def end(workplace: Workplace) -> Callable[..., None]:
    def end(
        claim: Claim, outcome: Outcome, *, seconds: float = 1.0, is_of_job: bool = True
    ) -> None:
        finished_at = timezone.now()
        started_at = finished_at - timedelta(seconds=seconds)
        settlement = Settlement(claim, outcome, started_at, finished_at, "anna")
        result = result_of(claim, is_of_job=is_of_job)
        workplace.outbox.put(Attempted(settlement, result))

    return end


def round_of(courier: Courier) -> None:
    courier._go_round()


def waiting_in(workplace: Workplace) -> list[object]:
    inbox = workplace.inbox
    return [inbox.get_nowait() for _ in range(inbox.qsize())]


def test_as_many_are_claimed_as_can_start_at_once(courier, workplace, remembering):
    remembering.ready = [claim_of(number) for number in range(5)]

    round_of(courier)

    assert remembering.asked == [2]
    assert [claim.id for claim in waiting_in(workplace)] == [0, 1]
    assert workplace.slots.is_ready


def test_a_thread_that_is_free_again_gets_one_more(courier, workplace, remembering, end):
    remembering.ready = [claim_of(number) for number in range(5)]
    round_of(courier)
    first, _ = waiting_in(workplace)

    end(first, Snoozed(timedelta(seconds=1)))
    round_of(courier)

    assert remembering.asked == [2, 1]


def test_quick_tasks_are_claimed_ahead(courier, workplace, remembering, end):
    remembering.ready = [claim_of(number) for number in range(500)]
    round_of(courier)

    for claim in waiting_in(workplace):
        end(claim, Succeeded(None), seconds=0.002)
    round_of(courier)

    assert remembering.asked == [2, 2 + 40]


@pytest.mark.parametrize(("came_back", "asked_before"), [(60, [102, 60]), (1, [102])])
def test_executors_have_more_to_do_while_many_quick_tasks_are_settled(
    courier, workplace, remembering, end, came_back, asked_before
):
    courier._pace.note(0.004, attempts=100)
    remembering.ready = [
        claim_of(number) for number in range(102 if came_back > 1 else 1)
    ]
    round_of(courier)
    for claim in waiting_in(workplace)[:came_back]:
        end(claim, Succeeded(None), seconds=0.004)
    asked: list[int] = []
    settle = remembering.settle
    remembering.settle = lambda settlements: (
        asked.extend(remembering.asked),
        settle(settlements),
    )[1]

    round_of(courier)

    assert asked == asked_before
    assert len(remembering.batches) == 1


def test_a_limit_counts_what_is_not_settled_yet(
    remembering: RememberingStore, workplace, heartbeat, end
):
    limited = replace(workplace, options=replace(workplace.options, limit=3))
    courier = Courier(limited, heartbeat, [])
    courier._pace.note(0.0001)
    remembering.ready = [claim_of(number) for number in range(9)]
    round_of(courier)

    end(waiting_in(workplace)[0], Succeeded(None))
    round_of(courier)

    assert remembering.asked == [3]


def test_nothing_is_claimed_while_the_lease_is_in_doubt(courier, heartbeat, remembering):
    remembering.ready = [claim_of(1)]
    heartbeat.may_claim = False

    round_of(courier)

    assert remembering.asked == []


def test_all_that_gathered_is_settled_at_once(courier, workplace, remembering, end):
    remembering.ready = [claim_of(1), claim_of(2)]
    round_of(courier)

    for claim in waiting_in(workplace):
        end(claim, Succeeded(None))
    round_of(courier)

    assert remembering.batches == [2]


def test_ends_are_counted_and_only_ends(courier, workplace, remembering, announcer, end):
    outcomes = [
        Succeeded(None),
        Failed(ERROR),
        Discarded(ERROR),
        Cancelled(ERROR),
        Retry(timedelta(), ERROR),
        Interrupted(),
        Snoozed(timedelta()),
    ]
    for number, outcome in enumerate(outcomes):
        remembering.ready = [claim_of(number)]
        round_of(courier)
        for item in waiting_in(workplace):
            if isinstance(item, Claim):
                end(item, outcome)
            else:
                announcer.announce(item)
    round_of(courier)

    assert len(remembering.settled) == 7
    assert (workplace.slots.succeeded, workplace.slots.failed) == (1, 1)


def test_what_was_acknowledged_comes_back_to_be_announced(
    courier, workplace, remembering, end
):
    remembering.ready = [claim_of(1), claim_of(2)]
    round_of(courier)
    told, silent = waiting_in(workplace)

    end(told, Succeeded(None))
    end(silent, Snoozed(timedelta()))
    round_of(courier)

    announced = [item.settlement.claim for item in waiting_in(workplace)]
    assert announced == [told]


def test_what_the_database_refused_is_announced_and_counted_as_failed(
    courier, workplace, remembering, end
):
    remembering.recorded = lambda each: replace(each, outcome=Failed(ERROR))
    remembering.ready = [claim_of(1)]
    round_of(courier)

    end(*waiting_in(workplace), Succeeded("too much"))
    round_of(courier)

    (announced,) = waiting_in(workplace)
    assert announced.settlement.outcome == Failed(ERROR)
    assert (workplace.slots.succeeded, workplace.slots.failed) == (0, 1)


@pytest.fixture
def nobody_listens(monkeypatch, caplog) -> None:
    usual, _ = LOGGING[task_finished]
    monkeypatch.setattr(task_finished, "receivers", [*usual.receivers])
    caplog.set_level("WARNING", "django.tasks")


def test_a_success_that_nobody_would_hear_of_is_not_announced(
    nobody_listens, courier, workplace, remembering, end
):
    remembering.ready = [claim_of(1), claim_of(2)]
    round_of(courier)
    unheard, failed = waiting_in(workplace)

    end(unheard, Succeeded(None), is_of_job=False)
    end(failed, Failed(ERROR), is_of_job=False)
    round_of(courier)

    announced = [item.settlement.claim for item in waiting_in(workplace)]
    assert announced == [failed]
    assert workplace.slots.succeeded == 1


def test_a_success_is_announced_where_somebody_listens(
    nobody_listens, courier, workplace, remembering, end
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    (heard,) = waiting_in(workplace)

    end(heard, Succeeded(None), is_of_job=False)
    task_finished.connect(lambda **sent: None, weak=False)
    round_of(courier)

    assert [item.settlement.claim for item in waiting_in(workplace)] == [heard]


def test_a_lost_lease_is_logged_and_neither_counted_nor_announced(
    courier, workplace, remembering, end, caplog
):
    remembering.ready, remembering.lost = [claim_of(1)], {1}
    round_of(courier)

    end(waiting_in(workplace)[0], Succeeded(None))
    round_of(courier)

    assert waiting_in(workplace) == []
    assert workplace.slots.succeeded == 0
    assert "the lease was lost" in caplog.text


def test_a_zombie_of_a_task_that_was_claimed_again_here_is_dropped(
    courier, workplace, remembering, end
):
    zombie, heir = claim_of(1, token=1), claim_of(1, token=2)
    remembering.ready = [zombie, heir]
    round_of(courier)
    waiting_in(workplace)

    end(zombie, Succeeded("zombie"))
    end(heir, Succeeded("heir"))
    round_of(courier)

    assert [each.claim.token for each in remembering.settled] == [2]


def test_what_waits_behind_tasks_that_overrun_is_released(
    courier, workplace, remembering
):
    remembering.ready = [claim_of(1), claim_of(2)]
    round_of(courier)
    running = workplace.inbox.get_nowait()

    round_of(courier)

    assert running.id == 1
    assert [claim.id for claim in remembering.released] == [2]
    assert workplace.inbox.empty()


def test_announcements_behind_tasks_that_overrun_go_to_upkeep(
    courier, workplace, remembering, end
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    end(waiting_in(workplace)[0], Succeeded(None))
    round_of(courier)

    round_of(courier)

    assert workplace.overdue.get_nowait().settlement.claim.id == 1


def test_outcomes_survive_an_outage_and_are_settled_after_it(
    courier, workplace, remembering, end
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    end(waiting_in(workplace)[0], Snoozed(timedelta()))
    remembering.outage = [OperationalError("gone"), OperationalError("gone")]

    settled = courier.work()

    assert settled
    assert [each.claim.id for each in remembering.settled] == [1]


def test_a_thousand_quick_tasks_are_not_slow_for_the_last_that_waited(courier, end):
    for number in range(1000):
        claim = claim_of(number)
        courier._hand.take(claim)
        end(claim, Succeeded(None), seconds=0.000_05 if number < 950 else 0.005)

    round_of(courier)

    assert courier._pace.ahead > 500


def test_a_claim_whose_answer_was_lost_is_released(courier, remembering):
    remembering.held = [claim_of(7)]
    remembering.outage = [OperationalError("the answer was lost")]

    courier.work()

    assert [claim.id for claim in remembering.released] == [7]


def test_a_lost_answer_is_looked_after_where_a_stop_comes_with_it(
    courier, workplace, remembering, monkeypatch
):
    remembering.held = [claim_of(7)]

    def lose(*told: object, **more: object) -> None:
        workplace.stop.request()
        raise OperationalError("the answer was lost")

    monkeypatch.setattr(courier._picker, "claim", lose)

    assert courier.work()
    assert [claim.id for claim in remembering.released] == [7]


def test_what_is_in_hand_is_not_taken_for_a_lost_answer(courier, workplace, remembering):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    remembering.held = waiting_in(workplace)
    courier._hand.is_unsure = True

    round_of(courier)

    assert remembering.released == []


def test_what_nobody_took_from_a_process_that_was_given_up_stays_in_its_hand(
    courier, workplace, heartbeat, remembering
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    remembering.held = [*waiting_in(workplace), claim_of(7)]
    given_up, heartbeat.identity = heartbeat.identity, SimpleNamespace(id=uuid4())

    heartbeat.may_claim = False
    round_of(courier)
    before_its_row_is_there = [*remembering.handed_over]
    heartbeat.may_claim = True
    round_of(courier)
    round_of(courier)

    assert before_its_row_is_there == []
    assert remembering.handed_over == [(given_up.id, heartbeat.identity.id)]
    assert [claim.id for claim in remembering.released] == [7]


def test_a_stopping_courier_releases_what_has_not_started_and_claims_nothing(
    courier, workplace, remembering
):
    remembering.ready = [claim_of(number) for number in range(4)]
    round_of(courier)

    workplace.stop.request()
    settled = courier.work()

    assert settled
    assert [claim.id for claim in remembering.released] == [0, 1]
    assert remembering.asked == [2]


def test_what_is_still_running_after_the_grace_is_settled_as_interrupted(
    courier, workplace, remembering
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    waiting_in(workplace)

    workplace.stop.insist()
    settled = courier.work()

    assert settled
    assert [each.outcome for each in remembering.settled] == [Interrupted()]


def test_what_cannot_be_given_back_is_left_to_the_lease_in_one_line(
    courier, workplace, remembering, caplog
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    workplace.stop.insist()
    remembering.outage = [OperationalError("no such\ntable")]

    settled = courier.work()

    assert not settled
    (record,) = [each for each in caplog.records if "lease has to expire" in each.message]
    assert record.message.endswith(": no such table")
    assert record.exc_info is None


@pytest.mark.parametrize("outage", [None, OperationalError("away")])
def test_what_ends_by_being_given_back_is_told_if_the_database_answers(
    courier, workplace, remembering, outage
):
    def last_result(result_id: str) -> SimpleNamespace:
        asked.append(result_id)
        if outage:
            raise outage
        return SimpleNamespace(is_finished=True)

    asked: list[str] = []
    told: list[object] = []
    claim = claim_of(1)._replace(at_most_once=True)
    remembering.ready = [claim]
    remembering.backend.last_result = last_result
    receiver = lambda **named: told.append(named["task_result"])  # noqa: E731
    task_finished.connect(receiver)
    round_of(courier)
    waiting_in(workplace)
    workplace.stop.insist()

    settled = courier.work()
    task_finished.disconnect(receiver)

    assert settled
    assert asked == [str(claim.uuid)]
    assert len(told) == (0 if outage else 1)


def test_whom_that_is_told_a_thread_for_tasks_tells_them(
    courier, workplace, remembering, end
):
    once, often = claim_of(1)._replace(at_most_once=True), claim_of(2)
    remembering.ready = [once, often]
    round_of(courier)
    waiting_in(workplace)

    end(once, Interrupted())
    end(often, Interrupted())
    round_of(courier)

    assert [each.settlement.claim for each in waiting_in(workplace)] == [once]


def test_an_outcome_that_arrives_with_the_end_of_the_grace_is_kept(
    courier, workplace, remembering, end
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    claim = waiting_in(workplace)[0]

    workplace.stop.insist()
    end(claim, Succeeded(42))
    courier.work()

    assert [each.outcome for each in remembering.settled] == [Succeeded(42)]


def test_it_says_so_when_it_could_not_give_everything_back(
    courier, workplace, remembering
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    waiting_in(workplace)
    remembering.outage = [OperationalError("gone")]

    workplace.stop.insist()

    assert courier.work() is False


def test_a_burst_does_not_end_before_everything_is_announced(
    courier, workplace, remembering, announcer, end
):
    remembering.ready = [claim_of(1)]
    round_of(courier)
    end(waiting_in(workplace)[0], Succeeded(None))
    round_of(courier)
    before = courier._is_done

    announcer.announce(waiting_in(workplace)[0])
    courier.work()

    assert not before
    assert announcer.count == 1


def test_a_limit_counts_attempts(remembering: RememberingStore, workplace, heartbeat):
    limited = replace(workplace, options=replace(workplace.options, limit=1))
    courier = Courier(limited, heartbeat, [])
    remembering.ready = [claim_of(1), claim_of(2)]

    round_of(courier)

    assert remembering.asked == [1]
    assert not courier._is_done


@pytest.fixture
def rare_polls(monkeypatch) -> None:
    monkeypatch.setattr("errands.worker.waking.bell.LONGEST_SLEEP", timedelta(hours=1))


@pytest.fixture
def wired(workplace, heartbeat, rare_polls) -> Courier:
    """A courier that need not look for an hour, and is no burst."""
    staying = replace(workplace, options=replace(workplace.options, burst=False))
    staying.bells.wire(is_wired=True)
    return Courier(staying, heartbeat, [])


def test_a_stop_wakes_a_courier_that_need_not_look(wired, workplace):
    stop = threading.Timer(0.05, workplace.stop.request)

    stop.start()
    settled = wired.work()

    assert settled


@pytest.mark.parametrize("bound", [{"limit": 1}, {"max_tasks": 1}], ids=repr)
@pytest.mark.usefixtures("rare_polls")
def test_the_last_announcement_ends_a_courier_that_need_not_look(
    workplace, heartbeat, announcer, remembering, end, bound
):
    options = replace(workplace.options, burst=False, **bound)
    courier = Courier(replace(workplace, options=options), heartbeat, [announcer])
    remembering.ready = [claim_of(1)]
    round_of(courier)
    end(waiting_in(workplace)[0], Succeeded(None))
    round_of(courier)
    (attempted,) = waiting_in(workplace) or [workplace.overdue.get_nowait()]
    courier._workplace.bells.wire(is_wired=True)

    threading.Timer(0.05, announcer.announce, [attempted]).start()
    courier.work()

    assert announcer.count == 1


def test_a_thread_that_has_announced_gets_the_next_task_and_not_with_a_poll(
    workplace, heartbeat, announcer, remembering, end
):
    staying = replace(workplace, options=replace(workplace.options, burst=False))
    courier = Courier(staying, heartbeat, [announcer])
    remembering.ready = [claim_of(number) for number in range(3)]
    round_of(courier)
    first, _ = waiting_in(workplace)
    end(first, Succeeded(None))
    round_of(courier)
    (attempted,) = waiting_in(workplace)
    asked_before = list(remembering.asked)
    staying.bells.courier._poll = 3600.0

    threading.Timer(0.05, announcer.announce, [attempted]).start()
    round_of(courier)

    assert asked_before == [2]
    assert remembering.asked == [2, 1]


def test_of_two_that_announce_the_second_also_gets_the_next_task(
    workplace, heartbeat, announcer, remembering, end
):
    staying = replace(workplace, options=replace(workplace.options, burst=False))
    courier = Courier(staying, heartbeat, [announcer])
    remembering.ready = [claim_of(number) for number in range(4)]
    round_of(courier)
    for claim in waiting_in(workplace):
        end(claim, Succeeded(None), seconds=1)
    round_of(courier)
    first, second = waiting_in(workplace)
    staying.bells.courier._poll = 3600.0

    announcer.announce(first)
    round_of(courier)
    threading.Timer(0.05, announcer.announce, [second]).start()
    round_of(courier)

    assert remembering.asked == [2, 1, 1]


def test_a_courier_looks_unasked_for_what_its_horizon_hides(
    workplace, heartbeat, remembering
):
    staying = replace(workplace, options=replace(workplace.options, burst=False))
    courier = Courier(staying, heartbeat, [])
    round_of(courier)
    staying.bells.courier._poll = 3600.0
    hidden = Mark(rank=0, id=7, until=time.monotonic() + 0.1, seconds=0.005)
    courier._picker._horizon._marks[None] = hidden

    remembering.ready = [claim_of(1)]
    round_of(courier)

    assert [claim.id for claim in waiting_in(workplace)] == [1]


def test_a_courier_that_is_short_says_so_before_it_counts(workplace, heartbeat):
    was_short = []

    class Counted:
        @property
        def count(self) -> int:
            was_short.append(workplace.is_short.is_set())
            return 0

    courier = Courier(workplace, heartbeat, [Counted()])
    courier._to_announce = 1

    assert courier._announcing == 1
    assert was_short == [True]


def test_announcements_that_nobody_waits_for_wake_nobody(
    workplace, heartbeat, remembering, announcer, end
):
    staying = replace(workplace, options=replace(workplace.options, burst=False))
    courier = Courier(staying, heartbeat, [announcer])
    remembering.ready = [claim_of(1)]
    round_of(courier)
    end(waiting_in(workplace)[0], Succeeded(None))
    round_of(courier)

    announcer.announce(waiting_in(workplace)[0])

    assert remembering.asked == [2, 1]
    assert workplace.outbox.empty()


def test_rings_do_not_keep_claims_waiting_behind_tasks_that_overrun(
    courier, workplace, remembering, monkeypatch
):
    remembering.ready = [claim_of(1), claim_of(2)]
    round_of(courier)
    workplace.inbox.get_nowait()
    courier._moved_at = -1.0

    workplace.bells.courier.ring()
    round_of(courier)

    assert [claim.id for claim in remembering.released] == [2]


def test_what_a_wrong_session_took_for_lost_is_released(courier, workplace, remembering):
    claim = claim_of(1)
    remembering.ready, remembering.held = [claim], [claim]
    round_of(courier)
    now = timezone.now()
    settlement = Settlement(waiting_in(workplace)[0], Interrupted(), now, now, "anna")

    workplace.outbox.put(Attempted(settlement, None, is_lost=True))
    round_of(courier)

    assert remembering.released == [claim]


def test_one_that_misses_a_thread_breaks(workplace, heartbeat):
    dead = threading.Thread(target=int, name="errands-executor-0")
    dead.start()
    dead.join()
    courier = Courier(workplace, heartbeat, [], threads=[dead])

    with pytest.raises(RuntimeError, match=r"errands-executor-0 .* has died"):
        courier.work()


def test_what_had_ended_when_a_thread_is_missed_is_recorded(
    workplace, heartbeat, remembering, end
):
    threads: list[threading.Thread] = []
    courier = Courier(workplace, heartbeat, [], threads=threads)
    remembering.ready = [claim_of(1)]
    round_of(courier)
    end(waiting_in(workplace)[0], Succeeded(None))
    threads.append(threading.Thread(target=int))

    with pytest.raises(RuntimeError, match="has died"):
        courier.work()

    assert [each.claim.id for each in remembering.settled] == [1]


def test_a_ring_lets_an_idle_courier_claim_at_once_and_once_more(wired, remembering):
    wired._bell.ring()
    round_of(wired)
    round_of(wired)

    assert len(remembering.asked) == 2


def test_while_every_thread_is_busy_rings_cost_no_claim(courier, workplace, remembering):
    remembering.ready = [claim_of(1), claim_of(2)]
    round_of(courier)
    waiting_in(workplace)

    for _ in range(5):
        workplace.outbox.put(None)
        round_of(courier)

    assert remembering.asked == [2]


def test_with_pools_nothing_is_claimed_ahead(remembering, workplace, heartbeat, end):
    options = replace(workplace.options, queues="default:3", burst=False)
    pooled = replace(workplace, options=options)
    courier = Courier(pooled, heartbeat, [])
    remembering.ready = [claim_of(number) for number in range(100)]
    round_of(courier)

    for claim in waiting_in(pooled):
        end(claim, Snoozed(timedelta()), seconds=0.0001)
    round_of(courier)

    assert remembering.asked == [3, 3]
