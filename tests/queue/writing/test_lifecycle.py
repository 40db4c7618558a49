"""Cancelling, retrying, discarding and keeping: what becomes of one task."""

import json
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_finished
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from errands.exceptions import TaskCancelled, TaskCrashed
from errands.queue.claiming.selection import Selection
from errands.queue.claims import Payload, Settlement, dump_call, dump_ending
from errands.queue.living.rescuing import rescue_lost, tell_if_ended
from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus, TaskState
from errands.queue.store import Store
from errands.queue.writing import interventions
from errands.queue.writing.keeping import kept
from errands.tasks.capabilities import acancel, cancel
from errands.tasks.outcomes import (
    AttemptError,
    Cancelled,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    Succeeded,
)
from errands.tasks.signals import task_discarded
from errands.testing import drain
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

A_DAY = timedelta(days=1)
ERROR = AttemptError.of(ValueError("no luck"))


@pytest.fixture
def finished():
    seen: list[tuple[str, str]] = []

    def note(signal, task_result, **kwargs: object) -> None:
        name = "finished" if signal is task_finished else "discarded"
        seen.append((name, task_result.id))

    for signal in (task_finished, task_discarded):
        signal.connect(note)
    yield seen
    for signal in (task_finished, task_discarded):
        signal.disconnect(note)


class End(NamedTuple):
    """How a task of a batch ends."""

    outcome: Outcome
    worker: str
    began: int
    took: int
    metadata: str | None
    keep: timedelta | None

    def of(self, now: datetime) -> tuple[Outcome, datetime, datetime, str]:
        """Return what a settlement says of it."""
        started_at = now + timedelta(seconds=self.began)
        return (
            self.outcome,
            started_at,
            started_at + timedelta(seconds=self.took),
            self.worker,
        )


# Few of each, so that a batch has much in common, and not always all of it.
VALUES = None, 0, False, "", "null", '"', "a%s\\\0\ud800é", [], {"a": [1]}
ENDS = st.builds(
    End,
    outcome=st.one_of(
        st.sampled_from(VALUES).map(Succeeded),
        st.sampled_from(["", "no luck", "%s {} \\u0000"]).map(
            lambda told: Failed(
                AttemptError("builtins.ValueError", told, ValueError(told))
            )
        ),
    ),
    worker=st.sampled_from(["anna", "bert %s", "ö\"'"]),
    began=st.integers(0, 1),
    took=st.integers(0, 1),
    metadata=st.sampled_from([None, "{}", '{"new": "%s"}']),
    keep=st.sampled_from([None, A_DAY, 2 * A_DAY, timedelta()]),
)


def settlement(claim, outcome, **told) -> Settlement:
    now = timezone.now()
    return Settlement(claim, outcome, now, now, "anna", **told)


def at_most_once(**options: object) -> str:
    result = tasks.nothing.using(**options).enqueue()
    TaskRow.objects.update(at_most_once=True)
    return result.id


@pytest.mark.parametrize("state", [s for s in TaskState if s != TaskState.RUNNING])
def test_a_task_that_does_not_run_is_cancelled_for_good(state, store, worker, finished):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(state=state)

    assert store.backend.cancel(result.id)

    read = tasks.nothing.get_result(result.id)
    assert read.errors[-1].exception_class is TaskCancelled
    assert finished == [("finished", result.id)]
    assert worker.claim() == []


def test_a_task_that_runs_is_asked_to_stop(store, worker):
    result, other = tasks.nothing.enqueue(), tasks.nothing.enqueue()
    claims = worker.claim()

    assert store.backend.cancel(result.id)
    assert store.backend.cancel(result.id)

    (asked,) = [claim for claim in claims if str(claim.uuid) == result.id]
    assert store.cancel_requests(worker.identity.id) == [(asked.id, asked.token)]
    worker.settle([asked], Cancelled(AttemptError.of(TaskCancelled())))
    assert store.cancel_requests(worker.identity.id) == []
    assert ResultRow.objects.get().status == ResultStatus.CANCELLED
    assert not store.backend.cancel(result.id)
    assert tasks.nothing.get_result(other.id).status == TaskResultStatus.RUNNING


def test_async_code_cancels_as_any_other():
    result = tasks.nothing.enqueue()

    first = async_to_sync(acancel)("default", result.id)
    second = async_to_sync(acancel)("default", result.id)

    assert (first, second) == (True, False)


def test_a_request_to_cancel_waits_for_the_commit_and_goes_with_the_rollback(
    store, worker
):
    result = tasks.nothing.enqueue()
    worker.claim()
    held = worker.identity.id

    with transaction.atomic():
        assert store.backend.cancel(result.id)
        within = store.cancel_requests(held)
        transaction.set_rollback(True)
    rolled_back = store.cancel_requests(held)
    with transaction.atomic():
        store.backend.cancel(result.id)

    assert within == rolled_back == []
    assert len(store.cancel_requests(held)) == 1


def test_a_request_to_cancel_that_comes_too_late_cancels_what_then_waits(store, worker):
    result = tasks.nothing.enqueue()
    claims = worker.claim()

    with transaction.atomic():
        store.backend.cancel(result.id)
        store.release(claims)

    assert ResultRow.objects.get().status == ResultStatus.CANCELLED
    assert TaskRow.objects.count() == 0


def test_a_cancelled_task_that_is_to_be_tried_again_is_claimed_only_to_end(store, worker):
    result = tasks.nothing.enqueue()
    claims = worker.claim()
    store.backend.cancel(result.id)

    worker.settle(claims, Retry(timedelta(hours=1), ERROR))

    (claim,) = worker.claim()
    assert claim.cancel_requested
    assert not claims[0].cancel_requested


def test_a_failed_task_is_tried_again_with_all_its_attempts(store, worker):
    result = tasks.fail.enqueue()
    worker.settle(worker.claim(), Retry(timedelta(), ERROR))
    store.stage()
    worker.fail(worker.claim())

    assert store.retry(result.id)

    (claim,) = worker.claim()
    assert (claim.attempt, claim.crashes, claim.worker_ids) == (1, 0, [])
    assert len(claim.errors) == 2
    assert claim.token == 3
    worker.succeed([claim], None)
    read = tasks.fail.get_result(result.id)
    assert read.status == TaskResultStatus.SUCCESSFUL


def test_only_what_has_ended_is_tried_again(store, worker):
    result = tasks.nothing.enqueue()

    assert not store.retry(result.id)
    claims = worker.claim()
    assert not store.retry(result.id)
    worker.fail(claims)
    assert store.retry(result.id)
    assert not store.retry(result.id)
    with pytest.raises(TaskResultDoesNotExist):
        store.retry("nonsense")


def test_a_task_whose_unique_key_was_taken_again_is_not_tried_again(store, worker):
    unique = tasks.nothing.using(unique=True)
    first = unique.enqueue()
    worker.fail(worker.claim())
    second = unique.enqueue()

    assert not store.retry(first.id)
    assert ResultRow.objects.count() == TaskRow.objects.count() == 1
    worker.succeed(worker.claim())
    assert store.retry(first.id)
    assert unique.enqueue().id == first.id != second.id


def test_what_waits_is_discarded_and_what_has_ended_is_forgotten(store, worker, finished):
    waiting, ended = tasks.nothing.enqueue(), tasks.nothing.using(priority=1).enqueue()
    claims = worker.claim(limit=1)

    assert not store.discard(ended.id)
    worker.fail(claims)
    assert store.discard(ended.id)
    assert store.discard(waiting.id)

    assert finished == [("discarded", waiting.id), ("finished", waiting.id)]
    assert ResultRow.objects.get().status == ResultStatus.DISCARDED
    with pytest.raises(TaskResultDoesNotExist):
        tasks.nothing.get_result(ended.id)


def test_one_that_must_not_start_twice_is_lost_once_it_has_begun(store, worker):
    at_most_once()
    (claim,) = worker.claim()
    assert claim.at_most_once

    assert store.begin(claim)
    worker.settle([claim], Interrupted())

    ended = ResultRow.objects.get()
    assert ended.status == ResultStatus.LOST
    assert "not started twice" in ended.errors
    assert ended.started_at is not None


def test_one_that_is_lost_is_kept_as_it_says_and_names_its_last_worker(store, worker):
    year = {"failed": timedelta(days=365), "succeeded": timedelta(days=1)}
    at_most_once(keep=year)
    (claim,) = worker.claim()
    store.begin(claim)

    worker.settle([claim], Interrupted())

    ended = ResultRow.objects.get()
    assert ended.expires_at - ended.finished_at == timedelta(days=365)
    assert json.loads(ended.worker_ids) == [worker.identity.name]
    assert (ended.status, ended.attempt) == (ResultStatus.LOST, 1)


def test_it_is_told_when_giving_a_task_back_has_ended_it(store, worker, finished):
    lost_id, waiting_id = at_most_once(), at_most_once()
    begun, waiting = worker.claim()
    store.begin(begun)
    worker.settle([begun, waiting], Interrupted())

    tell_if_ended(store, begun)
    tell_if_ended(store, waiting)

    assert (str(begun.uuid), str(waiting.uuid)) == (lost_id, waiting_id)
    assert finished == [("finished", lost_id)]


def test_nobody_asks_about_tasks_that_giving_back_does_not_end(
    store, worker, django_assert_num_queries
):
    tasks.nothing.enqueue()
    (claim,) = worker.claim()
    worker.settle([claim], Interrupted())

    with django_assert_num_queries(0):
        tell_if_ended(store, claim)


def test_one_that_must_not_start_twice_is_given_back_until_it_has_begun(store, worker):
    at_most_once()

    for _ in range(2):
        store.release(worker.claim())
        worker.settle(worker.claim(), Interrupted())
        worker.settle(worker.claim(), Snoozed(timedelta()))
        store.stage()

    assert worker.claim()[0].started_at is None


def test_one_that_must_not_start_twice_is_not_rescued_once_it_has_begun(
    store, new_worker
):
    at_most_once()
    first, second = new_worker(), new_worker()
    first.claim()
    first.expire()
    rescue_lost(store)
    (claim,) = second.claim()
    store.begin(claim)
    second.expire()

    (rescued,) = rescue_lost(store)

    assert rescued.has_ended
    assert ResultRow.objects.get().status == ResultStatus.LOST
    assert TaskRow.objects.count() == 0


def test_nobody_begins_what_has_been_taken_back(store, worker):
    at_most_once()
    (claim,) = worker.claim()
    store.release([claim])

    assert not store.begin(claim)
    assert worker.claim()[0].started_at is None


def test_metadata_travel_and_are_written_by_whoever_holds_the_task(store, worker):
    tasks.nothing.using(metadata={"tenant": 7}).enqueue()
    (first,) = worker.claim()

    saved = store.save_metadata(first, '{"seen": 1}')
    store.release([first])
    (second,) = worker.claim()
    late = store.save_metadata(first, '{"seen": 9}')
    store.settle([settlement(second, Succeeded(None), metadata='{"seen": 2}')])

    assert (saved, late) == (True, False)
    assert second.metadata == {"seen": 1}
    assert json.loads(ResultRow.objects.get().metadata) == {"seen": 2}


def test_metadata_saved_in_a_transaction_lock_nothing_until_it_commits(store, worker):
    tasks.nothing.using(metadata={"seen": 0}).enqueue()
    (claim,) = worker.claim()

    with transaction.atomic():
        assert store.save_metadata(claim, '{"seen": 1}')
        before = TaskRow.objects.get().metadata
    saved = TaskRow.objects.get().metadata
    store.release([claim])
    with transaction.atomic():
        late = store.save_metadata(claim, '{"seen": 9}')

    assert (before, saved) == ('{"seen":0}', '{"seen": 1}')
    assert not late
    assert TaskRow.objects.get().metadata == '{"seen": 1}'


def test_metadata_that_are_no_json_are_refused_at_the_call():
    with pytest.raises(TypeError, match="metadata cannot be stored as JSON"):
        tasks.nothing.using(metadata={"at": object()}).enqueue()


def test_a_settle_is_part_of_the_callers_transaction(store, worker):
    tasks.nothing.enqueue_many([((), {})] * 2)
    first, second = worker.claim()

    with transaction.atomic():
        assert store.settle_within(settlement(first, Succeeded(1)))
        transaction.set_rollback(True)
    with transaction.atomic():
        assert store.settle_within(settlement(second, Succeeded(1)))
        assert not store.settle_within(settlement(second, Succeeded(1)))

    assert not store.was_settled(first)
    assert store.was_settled(second)
    assert TaskRow.objects.get().id == first.id


def test_what_a_rescue_ended_was_not_settled_by_the_zombie(store, worker):
    tasks.nothing.enqueue()
    TaskRow.objects.update(crashes=2)
    claims = worker.claim()
    worker.expire()
    rescue_lost(store)

    assert ResultRow.objects.get().status == ResultStatus.CRASHED
    assert worker.succeed(claims) == set()
    assert not store.was_settled(claims[0])


def test_a_result_kept_for_no_time_is_gone_at_once(store, worker):
    result = tasks.nothing.enqueue()
    claims = worker.claim()

    settled = store.settle([settlement(claims[0], Succeeded(1), keep=timedelta())])

    assert list(settled) == [claims[0].id]
    with pytest.raises(TaskResultDoesNotExist):
        tasks.nothing.get_result(result.id)
    assert not TaskRow.objects.exists()
    assert not ResultRow.objects.exists()


def test_what_leaves_no_result_frees_its_slot_and_its_unique_key(store, worker):
    call = tasks.echo.using(keep=timedelta(), unique=True, concurrency=("one", 1))
    first, second = call.enqueue(1), call.enqueue(2)
    (claim,) = worker.claim()

    store.settle([settlement(claim, Succeeded(1), keep=timedelta())])

    assert [str(claim.uuid) for claim in worker.claim()] == [second.id]
    assert call.enqueue(1).id != first.id


def test_a_batch_may_drop_finish_and_retry_at_once(store, worker):
    tasks.nothing.using(max_attempts=3).enqueue_many([((), {})] * 3)
    dropped, kept, again = worker.claim()

    settled = store.settle(
        [
            settlement(again, Retry(timedelta(), ERROR)),
            settlement(dropped, Succeeded(1), keep=timedelta()),
            settlement(kept, Succeeded(1)),
        ]
    )

    assert set(settled) == {dropped.id, kept.id, again.id}
    assert TaskRow.objects.get().id == again.id
    assert ResultRow.objects.get().id == kept.id


def test_one_that_failed_is_there_until_it_has_been_told_of(store, worker):
    result = tasks.nothing.enqueue()
    claims = worker.claim()

    store.settle([settlement(claims[0], Failed(ERROR), keep=timedelta())])

    with pytest.raises(TaskResultDoesNotExist):
        tasks.nothing.get_result(result.id)
    assert store.backend.last_result(result.id).errors
    assert store.prune() == 1


def test_each_result_is_kept_as_long_as_was_said(store, worker):
    tasks.nothing.enqueue_many([((), {})] * 3)
    claims = worker.claim()
    for claim, keep in zip(
        claims, (timedelta(days=90), timedelta(days=1), None), strict=True
    ):
        store.settle([settlement(claim, Succeeded(1), keep=keep)])
    month = timedelta(days=30)
    for row in ResultRow.objects.all():
        row.finished_at -= month
        row.expires_at = row.expires_at and row.expires_at - month
        row.save()

    assert store.prune() == 2
    assert ResultRow.objects.get().id == claims[0].id


def test_a_site_that_keeps_nothing_keeps_nothing(settings, store, worker):
    settings.ERRANDS = {"KEEP_SUCCEEDED": timedelta()}
    succeeded, failed = tasks.nothing.enqueue(), tasks.nothing.enqueue()
    first, second = worker.claim()

    worker.succeed([first])
    worker.fail([second])

    with pytest.raises(TaskResultDoesNotExist):
        tasks.nothing.get_result(succeeded.id)
    assert tasks.nothing.get_result(failed.id).status == TaskResultStatus.FAILED


def test_a_cancelled_task_is_announced_though_its_result_is_not_kept(store, finished):
    result = tasks.nothing.using(keep=timedelta()).enqueue()

    assert store.backend.cancel(result.id)

    assert finished == [("finished", result.id)]
    with pytest.raises(TaskResultDoesNotExist):
        tasks.nothing.get_result(result.id)


def test_what_one_call_changed_travels_with_it():
    changed = tasks.nothing.using(
        timeout=timedelta(seconds=90),
        keep={"failed": timedelta(days=1)},
        rate=("partner", "100/m"),
    )
    changed.enqueue()
    tasks.nothing.enqueue()

    payloads = TaskRow.objects.order_by("id").values_list("payload", flat=True)

    first, second = map(Payload.parse, payloads)
    assert first.options == {
        "timeout": 90.0,
        "keep": {"failed": 86_400.0},
        "rate": ["partner", "100/m"],
    }
    assert second.options == {}


@pytest.mark.parametrize(
    "keep", [[], "x", {"failed": "x"}, {"failed": -1}, {"failed": 1e99}]
)
def test_a_row_written_by_hand_says_nothing_about_keeping(keep):
    payload = dump_call([], {}, ending=dump_ending({}, {"keep": keep}))

    assert kept("shop.tasks.gone", payload, has_succeeded=False) is None


@pytest.mark.parametrize("name", ["a,b", "*", "a:2", "", "x" * 101])
def test_a_queue_no_task_can_be_in_is_neither_paused_nor_resumed(store: Store, name):
    with pytest.raises(ValueError, match="is no queue"):
        store.pause(name)
    with pytest.raises(ValueError, match="is no queue"):
        store.resume(name)


def test_a_queue_is_paused_once_and_resumed_once(store: Store):
    store.pause("mail")
    store.pause("mail")
    paused = store.paused()
    store.resume("mail")
    store.resume("mail")

    assert (paused, store.paused()) == ({"mail"}, frozenset())


def test_one_that_crashed_and_is_tried_again_is_no_suspect(store, worker):
    tasks.nothing.enqueue()
    (claim,) = worker.claim()
    crash = AttemptError.of(TaskCrashed("gone"))
    store.settle([settlement(claim, Failed(crash))])

    assert store.retry(claim.uuid)
    assert not worker.claim()[0].is_suspect


@pytest.fixture
def overtaken_by(store, monkeypatch):
    """Return a function that lets something happen right after the row was read."""

    def overtake(act):
        read, acts = store.backend._read, [act]

        def read_and_be_overtaken(result_id):
            stored = read(result_id)
            if acts:
                acts.pop()()
            return stored

        monkeypatch.setattr(store.backend, "_read", read_and_be_overtaken)

    return overtake


def test_a_cancel_that_a_failed_attempt_overtakes_keeps_its_error(
    store, worker, overtaken_by
):
    result = tasks.fail.enqueue()
    retry = Retry(timedelta(hours=1), ERROR)
    overtaken_by(lambda: worker.settle(worker.claim(), retry))

    assert store.backend.cancel(result.id)

    ended = store.backend.get_result(result.id)
    classes = [error.exception_class for error in ended.errors]
    assert classes == [ValueError, TaskCancelled]


def test_a_discard_that_an_attempt_overtakes_forgets_its_result(
    store, worker, overtaken_by
):
    result = tasks.nothing.enqueue()
    overtaken_by(lambda: worker.succeed(worker.claim()))

    assert store.backend.discard(result.id)
    assert not ResultRow.objects.exists()


def test_what_ends_before_it_can_be_asked_to_stop_was_not_cancelled(
    store, worker, monkeypatch
):
    result = tasks.nothing.enqueue()
    claims = worker.claim()
    after_commit = interventions.after_commit

    def be_overtaken(alias, request):
        worker.succeed(claims)
        return after_commit(alias, request)

    # Between the look at the row and the request.
    monkeypatch.setattr(interventions, "after_commit", be_overtaken)
    monkeypatch.setattr(store.backend, "_withdraw", lambda *told: False)

    assert not store.backend.cancel(result.id)
    assert tasks.nothing.get_result(result.id).status == TaskResultStatus.SUCCESSFUL


def test_a_task_whose_call_cannot_be_read_can_be_cancelled(store):
    result = tasks.nothing.enqueue()
    TaskRow.objects.update(payload="nothing")

    assert store.backend.cancel(result.id)
    assert ResultRow.objects.get().status == ResultStatus.CANCELLED


def test_an_id_may_be_a_uuid(store):
    first, second = tasks.nothing.enqueue_many([((), {})] * 2)

    assert tasks.nothing.get_result(UUID(first.id)) == first
    assert cancel("default", UUID(first.id))
    assert store.retry(UUID(first.id))
    assert store.discard(UUID(second.id))
    assert not store.backend.retry(UUID(first.id))


@pytest.mark.parametrize("act", ["retry", "discard"])
def test_what_is_no_id_is_refused(store, act):
    with pytest.raises(TaskResultDoesNotExist, match="5 is no id of a task"):
        getattr(store, act)(5)


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_an_end_that_is_rolled_back_is_told_to_nobody(store, finished, act):
    result = tasks.nothing.enqueue()

    with transaction.atomic():
        getattr(store.backend, act)(result.id)
        told_before_commit = list(finished)
        transaction.set_rollback(True)
    told_after_rollback = list(finished)
    getattr(store.backend, act)(result.id)

    assert (told_before_commit, told_after_rollback) == ([], [])
    assert ("finished", result.id) in finished


def test_a_site_that_keeps_results_for_ever_prunes_the_others(settings, store, worker):
    settings.ERRANDS = {
        "KEEP_FAILED": timedelta.max,
        "KEEP_SUCCEEDED": timedelta(seconds=1),
    }
    tasks.nothing.enqueue()
    worker.succeed(worker.claim())
    tasks.nothing.enqueue()
    worker.fail(worker.claim())
    ResultRow.objects.update(finished_at=timezone.now() - timedelta(days=400))

    pruned = store.prune()

    assert pruned == 1
    assert ResultRow.objects.get().status == ResultStatus.FAILED


def test_aliases_whose_tasks_are_in_one_database_share_a_queue(settings):
    settings.TASKS = settings.TASKS | {"other": settings.TASKS["default"]}
    result = tasks.add.using(backend="other").enqueue(1)

    Store("other").pause("mail")
    drained = drain(backend="default")

    assert Store("default").paused() == {"mail"}
    assert drained.succeeded == 1
    assert task_backends["other"].get_result(result.id).return_value == 2


@pytest.mark.parametrize("keeps", [(None, A_DAY), (A_DAY, None)], ids=["second", "first"])
def test_of_results_written_together_each_expires_when_it_is_to(store, worker, keeps):
    tasks.nothing.enqueue_many([((), {})] * 2)
    ended = [
        settlement(claim, Succeeded(None), keep=keep)
        for claim, keep in zip(worker.claim(), keeps, strict=True)
    ]

    store.settle(ended)

    written = ResultRow.objects.order_by("id").values_list("finished_at", "expires_at")
    assert list(written) == [
        (each.finished_at, each.keep and each.finished_at + each.keep) for each in ended
    ]


@given(batch=st.lists(ENDS, min_size=1, max_size=4))
@hypothesis_settings(max_examples=40)
def test_of_results_written_together_each_is_what_became_of_its_task(batch):
    store, worker_id = Store("default"), uuid4()
    tasks.nothing.using(metadata={"old": 1}).enqueue_many([((), {})] * len(batch))
    claims = store.claim(worker_id, Selection(), len(batch))
    now = timezone.now()
    ended = [
        Settlement(claim, *each.of(now), metadata=each.metadata, keep=each.keep)
        for claim, each in zip(claims, batch, strict=True)
    ]

    settled = store.settle(ended)

    assert len(settled) == len(batch)
    for each, claim, end in zip(ended, claims, batch, strict=True):
        outcome = each.outcome
        has_succeeded = isinstance(outcome, Succeeded)
        if has_succeeded and end.keep == timedelta():
            continue
        row = ResultRow.objects.get(id=claim.id)
        assert row.status == (
            ResultStatus.SUCCEEDED if has_succeeded else ResultStatus.FAILED
        )
        assert row.return_value == (
            json.dumps(outcome.return_value) if has_succeeded else None
        )
        assert [told["traceback"] for told in json.loads(row.errors)] == (
            [] if has_succeeded else [outcome.error.traceback]
        )
        assert json.loads(row.worker_ids) == [each.worker_name]
        assert row.metadata == (end.metadata or '{"old":1}')
        assert (row.started_at, row.finished_at) == (each.started_at, each.finished_at)
        kept = None if each.keep is None else each.finished_at + each.keep
        assert row.expires_at == kept
        assert (row.attempt, row.token, row.crashes) == (1, claim.token, 0)
    dropped = [e.keep == timedelta() and isinstance(e.outcome, Succeeded) for e in batch]
    assert ResultRow.objects.count() == len(batch) - sum(dropped)
    assert not TaskRow.objects.exists()
    ResultRow.objects.all().delete()
