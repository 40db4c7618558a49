"""The queue as a state machine: what anybody may do to it, in any order.

After every step the tables hold exactly what the model does. The operations
every queue has are here, those of the options in ``test_state_machine``.
"""

import sys
from collections import Counter
from uuid import UUID

from django.db import OperationalError, transaction
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from errands.queue.claiming.selection import Selection
from errands.queue.claiming.suspects import claim_suspect
from errands.queue.living import liveness, rescuing
from errands.queue.states import ResultStatus, TaskState
from errands.tasks.outcomes import (
    AttemptError,
    Discarded,
    Failed,
    Interrupted,
    Outcome,
    Retry,
    Snoozed,
    Succeeded,
)
from tests.torture.bookkeeping import CALLS, ENDS, MOST_TASKS, Bookkeeping
from tests.torture.faults import lost_answer
from tests.torture.model import picked, seconds
from tests.torture.world import EXPIRED, Worker, let_pass, live_rows, result_rows, shared

WORKERS = 3
HALF_STEP = 50
ERROR = AttemptError.of(ValueError("no luck"))
OUTCOMES: dict[str, Outcome] = {
    "succeeded": Succeeded("ü\x00\udc80"),
    "failed": Failed(ERROR),
    "discarded": Discarded(ERROR),
    "retry": Retry(seconds(HALF_STEP), ERROR),
    "retry later": Retry(seconds(3 * HALF_STEP), ERROR),
    "interrupted": Interrupted(),
    "snoozed": Snoozed(seconds(HALF_STEP)),
}

kinds = st.sampled_from([*CALLS, "plain", "keyed"])
outcomes = st.sampled_from([*OUTCOMES, "succeeded", "retry"])
queues = st.sampled_from(["a", "b"])
priorities = st.sampled_from([0, 0, 5])
delays = st.sampled_from([0, 0, 0, HALF_STEP, 3 * HALF_STEP])
selections = st.sampled_from(["*", "a", "b,a", "a,*"])
numbers = st.integers(0, 10_000)

with_tasks = precondition(lambda machine: machine.model.live())
with_results = precondition(lambda machine: machine.model.ended())
with_claims = precondition(lambda machine: machine.held)
with_zombies = precondition(lambda machine: machine.zombies)


class QueueMachine(Bookkeeping):
    """Workers and callers over one queue."""

    @initialize()
    def boot(self) -> None:
        """Boot the workers."""
        self.workers = [Worker(self.store, self.model.now) for _ in range(WORKERS)]

    # What callers do

    @rule(kind=kinds, queue=queues, priority=priorities, delay=delays)
    def enqueue(self, kind: str, queue: str, priority: int, delay: int) -> None:
        """Store one task."""
        if self.has_room:
            run_after = seconds(delay) if delay else None
            called = {"queue_name": queue, "priority": priority, "run_after": run_after}
            self.stored(self.call(kind, **called), delay=delay)

    @rule(kind=kinds, queue=queues, count=st.integers(2, 4))
    def enqueue_many(self, kind: str, queue: str, count: int) -> None:
        """Store several in one statement."""
        if self.has_room:
            task, args = CALLS[kind]
            called = task.using(queue_name=queue)
            for result in called.enqueue_many([(args, {})] * count):
                self.stored(result)

    @rule(kind=kinds, queue=queues)
    def enqueue_and_roll_back(self, kind: str, queue: str) -> None:
        """Store one in a transaction that does not commit: it never was."""
        with transaction.atomic():
            result = self.call(kind, queue_name=queue)
            transaction.set_rollback(True)
        if UUID(result.id) not in self.model.tasks:
            self.is_unknown(result.id)

    @rule(queue=queues, delivered=st.booleans())
    def enqueue_without_an_answer(self, queue: str, *, delivered: bool) -> None:
        """Store one whose COMMIT is not answered: it is there, or is not."""
        results = []
        try:
            with lost_answer(delivered=delivered), transaction.atomic():
                results.append(self.call("plain", queue_name=queue))
        except OperationalError:
            (result,) = results
        if delivered:
            self.stored(result)
        else:
            self.is_unknown(result.id)

    @with_tasks
    @rule(number=numbers)
    def cancel_waiting(self, number: int) -> None:
        """Cancel a task that nobody runs."""
        waiting = [task for task in self.model.live() if task.is_waiting]
        if task := picked(waiting, number):
            assert self.backend.cancel(str(task.uuid)) is True
            self.model.finish(task, ResultStatus.CANCELLED)

    @with_results
    @rule(number=numbers)
    def cancel_ended(self, number: int) -> None:
        """Cancel what has ended: nothing happens."""
        if task := picked(self.known_results, number):
            assert self.backend.cancel(str(task.uuid)) is False

    # What workers do

    @with_tasks
    @rule(worker=numbers, selection=selections, limit=st.integers(1, 5))
    def claim(self, worker: int, selection: str, limit: int) -> None:
        """Take what comes first."""
        if taker := picked(self.healthy, worker):
            self.taken(taker, selection, taker.claim(selection, limit), limit=limit)

    @rule(worker=numbers)
    def claim_suspect(self, worker: int) -> None:
        """Take what may have killed its process, alone."""
        if taker := picked(self.healthy, worker):
            claim = claim_suspect(self.store, taker.identity.id, Selection())
            first = self.model.first_suspect()
            assert (claim and claim.uuid) == (first and first.uuid)
            if claim and first:
                taker.claims[claim.id] = claim
                self.model.claim(first, taker.id)

    @with_tasks
    @rule(worker=numbers, delivered=st.booleans())
    def claim_without_an_answer(self, worker: int, *, delivered: bool) -> None:
        """Take, and not learn what: it is found out and given back."""
        taker = picked(self.healthy, worker)
        if taker is None:
            return
        try:
            with lost_answer(delivered=delivered):
                assert taker.claim("*", 2) == []
        except OperationalError:
            self.release_unknown(taker)

    @with_claims
    @rule(number=numbers, outcome=outcomes)
    def settle(self, number: int, outcome: str) -> None:
        """Record how an attempt ended."""
        self.settled(number, OUTCOMES[outcome])

    @with_claims
    @rule(number=numbers, outcome=outcomes, delivered=st.booleans())
    def settle_without_an_answer(
        self, number: int, outcome: str, *, delivered: bool
    ) -> None:
        """Settle, not learn whether it worked, and settle again."""
        self.settled(number, OUTCOMES[outcome], delivered=delivered)

    @with_claims
    @rule(number=numbers)
    def release(self, number: int) -> None:
        """Give back a claim that was not started."""
        if held := picked(self.held, number):
            worker, claim = held
            assert self.store.release([claim]) == 1
            self.model.release(self.forgotten(worker, claim))

    @rule()
    def stage(self) -> None:
        """Make ready what is due."""
        assert self.store.stage() == self.model.stage()

    # What goes wrong

    @rule(number=numbers)
    def freeze(self, number: int) -> None:
        """Stop a worker as SIGSTOP does; it does not know."""
        if len(self.healthy) > 1 and (worker := picked(self.healthy, number)):
            worker.is_frozen = True

    @rule(number=numbers)
    def thaw(self, number: int) -> None:
        """Let it go on: it was given up, or nothing has happened."""
        frozen = [worker for worker in self.workers if worker.is_frozen]
        if worker := picked(frozen, number):
            worker.is_frozen = False
            was_given_up = worker.alive_until < self.model.now
            assert worker.beat(self.model.now) is not was_given_up
            if was_given_up:
                self.zombies += [(worker, claim) for claim in worker.claims.values()]
                worker.claims = {}
                worker.boot(self.model.now)

    @with_claims
    @rule(number=numbers, name=outcomes, gives_back=st.booleans())
    def lose_the_lease(self, number: int, name: str, *, gives_back: bool) -> None:
        """Freeze who holds something until another has it; then it ends its attempt."""
        if held := picked(self.held, number):
            frozen, _ = held
            frozen.is_frozen = bool(len(self.healthy) > 1)
            self.let_pass(3)
            self.rescue()
            self.all_is_well()
            self.claim(number, "*", MOST_TASKS)
            self.claim_suspect(number)
            self.thaw(0)
            if gives_back:
                self.zombie_releases(number)
            else:
                self.zombie_settles(number, name)

    @rule(number=numbers, share=st.integers(0, 3))
    def child_dies(self, number: int, share: int) -> None:
        """Kill a worker under its supervisor, which rescues at once."""
        worker = picked(self.healthy, number)
        if worker is None:
            return
        started = set(sorted(worker.claims)[:share])
        rescuing.rescue_worker(
            self.store, worker.identity.id, started=started, cause="signal 9"
        )
        for claim_id, claim in worker.claims.items():
            task = self.model.tasks[claim.uuid]
            if claim_id in started:
                self.model.crash(task)
            else:
                self.model.release(task)
        self.buried(worker)

    @rule(number=numbers)
    def tree_dies(self, number: int) -> None:
        """Kill a worker with its supervisor; its lease runs out."""
        if worker := picked(self.healthy, number):
            liveness.heartbeat(self.store.alias, worker.identity.id, EXPIRED)
            self.buried(worker)

    @rule(steps=st.integers(1, 4))
    def let_pass(self, steps: int) -> None:
        """Let some time go by, in which the healthy beat."""
        self.model.now += 2 * HALF_STEP * steps
        frozen = [worker for worker in self.workers if worker.is_frozen]
        let_pass(2 * HALF_STEP * steps, frozen, now=self.model.now)
        for worker in self.healthy:
            assert worker.beat(self.model.now)

    @rule()
    def rescue(self) -> None:
        """Take back what the dead hold."""
        living = {
            worker.id for worker in self.workers if worker.alive_until >= self.model.now
        }
        rescuing.rescue_lost(self.store)
        for task in self.model.live(TaskState.RUNNING):
            if task.worker not in living:
                self.model.crash(task, with_host=True)

    @with_zombies
    @rule(number=numbers, name=outcomes)
    def zombie_settles(self, number: int, name: str) -> None:
        """End an attempt whose lease was lost: nothing happens."""
        if zombie := picked(self.sharpest_zombies, number):
            worker, claim = zombie
            task, is_held = self.fenced(claim)
            outcome = self.allowed(task, OUTCOMES[name])
            is_recorded = task.status is not None and (
                (claim.token, ENDS.get(type(outcome))) == (task.token, task.status)
            )
            is_gone = task.is_dropped and isinstance(outcome, Succeeded)
            assert worker.settle(claim, outcome) is (is_held or is_recorded or is_gone)
            if is_held:
                self.ended(task, outcome)

    @with_zombies
    @rule(number=numbers)
    def zombie_releases(self, number: int) -> None:
        """Give back what was taken over: nothing happens."""
        if zombie := picked(self.sharpest_zombies, number):
            _, claim = zombie
            task, is_held = self.fenced(claim)
            assert self.store.release([claim]) == is_held
            if is_held:
                self.model.release(task)

    # What must be true

    @invariant()
    def all_is_well(self) -> None:
        """Look at everything, after every step."""
        self.blocked_as_the_tables_say()
        self.nobody_waits_for_a_slot_that_is_free()
        self.slots_belong_to_running_tasks()
        self.tables_hold_what_the_model_does()
        self.attempts_stay_below_their_limit()

    def nobody_waits_for_a_slot_that_is_free(self) -> None:
        """Look at every key: who holds a slot, and who waits for one."""
        for key in {task.key for task in self.model.live() if task.key}:
            of_key = [task for task in self.model.live() if task.key == key]
            states = Counter(task.state for task in of_key)
            limit = of_key[0].limit
            assert states[TaskState.RUNNING] <= limit
            if any(self.waits_for_a_slot(task) for task in of_key):
                assert states[TaskState.RUNNING] + states[TaskState.READY] >= limit

    def slots_belong_to_running_tasks(self) -> None:
        """Look at every slot: below the limit, taken once, by who runs."""
        slots = set()
        for row in live_rows():
            is_keyed = row["concurrency_key"] is not None
            is_running = row["state"] == TaskState.RUNNING
            assert (row["slot"] is not None) is (is_keyed and is_running)
            if row["slot"] is not None:
                assert 0 <= row["slot"] < row["concurrency_limit"]
                assert (row["concurrency_key"], row["slot"]) not in slots
                slots.add((row["concurrency_key"], row["slot"]))

    def tables_hold_what_the_model_does(self) -> None:
        """Compare every row; a task is in one table and no other."""
        found = {}
        for row in live_rows():
            found[row["uuid"]] = (TaskState(row["state"]), None, *shared(row))
        for row in result_rows():
            assert row["uuid"] not in found
            found[row["uuid"]] = (None, ResultStatus(row["status"]), *shared(row))
        there = {uuid: t for uuid, t in self.model.tasks.items() if not t.is_dropped}
        assert found == {uuid: task.row for uuid, task in there.items()}

    def attempts_stay_below_their_limit(self) -> None:
        """Compare what was counted with what is allowed."""
        for task in self.model.tasks.values():
            assert 0 <= task.attempt <= task.max_attempts

    def teardown(self) -> None:
        """Whatever happened: healthy workers bring every task to an end."""
        if sys.exc_info()[0] or not self.workers:
            return
        for worker in self.workers.copy():
            liveness.heartbeat(self.store.alias, worker.identity.id, EXPIRED)
            self.buried(worker)
        for _ in range(2 * MOST_TASKS):
            self.rescue()
            self.stage()
            self.all_is_well()
            self.claim(0, "*", MOST_TASKS)
            self.claim_suspect(0)
            while self.held:
                self.settle(0, "succeeded")
            self.all_is_well()
            if not self.model.live():
                break
            self.let_pass(1)
        assert self.model.live() == []
