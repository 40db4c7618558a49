"""The queue against its model, in lives that Hypothesis makes up."""

import pytest
from django.db import OperationalError, transaction
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from errands.queue.claims import Claim
from errands.queue.models import TaskRow
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.outcomes import Cancelled, Succeeded
from tests.testapp.models import Account
from tests.torture.conftest import examples
from tests.torture.faults import lost_answer
from tests.torture.machine import (
    ERROR,
    QueueMachine,
    numbers,
    queues,
    with_claims,
    with_results,
    with_tasks,
    with_zombies,
)
from tests.torture.model import Modelled, picked
from tests.torture.world import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(3600)]


class FullQueueMachine(QueueMachine):
    """The queue with what its options and its operators add."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: set[str] = set()

    @with_claims
    @rule(number=numbers)
    def ask_to_cancel(self, number: int) -> None:
        """Cancel a task that runs: its worker is told."""
        if task := picked(self.model.live(TaskState.RUNNING), number):
            assert self.backend.cancel(str(task.uuid)) is True
            task.cancel_asked = True

    @with_claims
    @rule()
    def hear_of_cancels(self) -> None:
        """Ask what somebody cancelled, and end it."""
        for worker in self.healthy:
            told = dict(self.store.cancel_requests(worker.identity.id))
            asked = [t for t in self.model.running(worker.id) if t.cancel_asked]
            assert len(told) == len(asked)
            for claim in list(worker.claims.values()):
                if told.get(claim.id) == claim.token:
                    task = self.forgotten(worker, claim)
                    assert worker.settle(claim, Cancelled(ERROR))
                    self.model.finish(task, ResultStatus.CANCELLED)

    @with_claims
    @rule(number=numbers)
    def begin(self, number: int) -> None:
        """Note the first line of a task that must not start twice."""
        at_most_once = [held for held in self.held if held[1].at_most_once]
        if held := picked(at_most_once, number):
            assert self.store.begin(held[1])
            self.model.tasks[held[1].uuid].has_begun = True

    @with_zombies
    @rule(number=numbers)
    def zombie_writes(self, number: int) -> None:
        """Begin, and write metadata, under a lease that was lost."""
        if zombie := picked(self.sharpest_zombies, number):
            _, is_held = self.fenced(zombie[1])
            if not is_held:
                assert not self.store.begin(zombie[1])
                assert not self.store.save_metadata(zombie[1], '{"zombie": true}')

    @with_claims
    @rule(number=numbers, fate=st.sampled_from(["commit", "roll back", "lost", "sent"]))
    def settle_within(self, number: int, fate: str) -> None:
        """Write and settle in one transaction, and perhaps not learn of it."""
        if held := picked(self.held, number):
            worker, claim = held
            is_settled = self.is_settled_within(worker, claim, fate)
            assert is_settled is (fate in {"commit", "sent"})
            if is_settled:
                self.effects.add(str(claim.uuid))
                self.model.finish(self.forgotten(worker, claim), ResultStatus.SUCCEEDED)

    @with_zombies
    @rule(number=numbers)
    def zombie_settles_within(self, number: int) -> None:
        """Write in a transaction that cannot settle: nothing is written."""
        if zombie := picked(self.sharpest_zombies, number):
            _, is_held = self.fenced(zombie[1])
            if not is_held:
                assert not self.is_settled_within(*zombie, "commit")

    @rule(queue=queues)
    def pause(self, queue: str) -> None:
        """Let no task of a queue start."""
        self.store.pause(queue)
        self.model.paused.add(queue)

    @rule(queue=queues)
    def resume(self, queue: str) -> None:
        """Let them start again."""
        self.store.resume(queue)
        self.model.paused.discard(queue)

    @with_results
    @rule(number=numbers)
    def retry(self, number: int) -> None:
        """Make a result a task again, unless its unique key is taken."""
        if task := picked(self.known_results, number):
            is_taken = task.unique is not None and self.model.owner(task.unique)
            assert self.store.retry(task.uuid) is not bool(is_taken)
            if not is_taken:
                self.model.revive(task)

    @with_tasks
    @rule(number=numbers)
    def discard_waiting(self, number: int) -> None:
        """Drop a task that nobody runs."""
        waiting = [task for task in self.model.live() if task.is_waiting]
        if task := picked(waiting, number):
            assert self.store.discard(task.uuid)
            self.model.finish(task, ResultStatus.DISCARDED)

    @with_claims
    @rule(number=numbers)
    def discard_running(self, number: int) -> None:
        """Drop what runs: nothing happens."""
        if task := picked(self.model.live(TaskState.RUNNING), number):
            assert not self.store.discard(task.uuid)

    @with_results
    @rule(number=numbers)
    def discard_result(self, number: int) -> None:
        """Drop a result."""
        if task := picked(self.known_results, number):
            assert self.store.discard(task.uuid)
            self.forget(task)

    @with_tasks
    @rule()
    def unblock(self) -> None:
        """Sweep: whoever waits for a free slot is let through."""
        self.store.unblock()
        self.blocked_as_the_tables_say()
        for task in self.model.live(TaskState.BLOCKED):
            if self.waits_for_a_slot(task):
                of_key = [other for other in self.model.live() if other.key == task.key]
                ahead = [other for other in of_key if self.is_ahead(other)]
                assert len(ahead) >= task.limit

    @with_results
    @rule()
    def prune(self) -> None:
        """Sweep: results that are kept no longer go, and nothing else does."""
        old = [task for task in self.model.ended() if self.model.is_expired(task)]
        assert self.store.prune() == len(old)
        for task in old:
            self.forget(task)

    @with_tasks
    @rule(number=numbers, text=st.sampled_from(["[{}]", "[1]", "{}", "nothing"]))
    def somebodys_hand_is_in_a_row(self, number: int, text: str) -> None:
        """Spoil what a row holds as JSON: it reads as empty, and all goes on."""
        # Who runs a suspect has read the errors already that make it one.
        spoilt = [t for t in self.model.live() if t.is_waiting or not t.has_just_crashed]
        if task := picked(spoilt, number):
            rows = TaskRow.objects.filter(uuid=task.uuid)
            assert rows.update(errors=text, worker_ids=text, metadata=text) == 1
            task.is_suspect = task.has_just_crashed = False
            read = self.backend.get_result(str(task.uuid))
            assert read.errors == []
            assert len(read.worker_ids) <= (not task.is_waiting)

    @invariant()
    def effects_are_those_of_settled_transactions(self) -> None:
        """Compare what transactions wrote with what was settled in them."""
        assert sorted(Account.objects.values_list("name", flat=True)) == sorted(
            self.effects
        )

    def teardown(self) -> None:
        """Let paused queues run, then do what every queue does in the end."""
        for queue in self.model.paused.copy():
            self.resume(queue)
        super().teardown()

    def is_ahead(self, task: Modelled) -> bool:
        """Whether a task has a slot or can take one."""
        is_ready = task.state == TaskState.READY
        is_paused = task.queue in self.model.paused
        return task.state == TaskState.RUNNING or (is_ready and not is_paused)

    def forget(self, task: Modelled) -> None:
        """Remove a task from the model; whoever held it is no zombie any more."""
        del self.model.tasks[task.uuid]
        self.effects.discard(str(task.uuid))
        Account.objects.filter(name=str(task.uuid)).delete()
        self.zombies = [held for held in self.zombies if held[1].uuid != task.uuid]

    def is_settled_within(self, worker: Worker, claim: Claim, fate: str) -> bool:
        """Run a transactional attempt to its fate; return what its worker learns."""
        try:
            if fate in {"lost", "sent"}:
                with lost_answer(delivered=fate == "sent"):
                    return self.transaction(worker, claim)
            return self.transaction(worker, claim, rolls_back=fate == "roll back")
        except OperationalError:
            return bool(self.store.was_settled(claim))

    def transaction(
        self, worker: Worker, claim: Claim, *, rolls_back: bool = False
    ) -> bool:
        """Write and settle as a transactional task does."""
        with transaction.atomic():
            Account.objects.update_or_create(name=str(claim.uuid))
            settled = self.store.settle_within(worker.settlement(claim, Succeeded(None)))
            if rolls_back or not settled:
                transaction.set_rollback(True)
        return settled and not rolls_back


def test_the_queue_holds_what_its_model_does_whatever_happens() -> None:
    run_state_machine_as_test(FullQueueMachine, settings=examples(short=80, long=1000))
