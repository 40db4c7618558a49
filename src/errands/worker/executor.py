"""The threads that run tasks, and afterwards tell what became of them."""

import threading

from errands.queue.claims import Claim
from errands.worker.announcing import Announcer
from errands.worker.attempts.making import Attempts
from errands.worker.loop import Loop
from errands.worker.workplace import Attempted, Workplace


class Executor(threading.Thread):
    """Takes from the inbox, until None: claims to run, attempts to announce."""

    def __init__(
        self, index: int, workplace: Workplace, attempts: Attempts, *, loop: Loop
    ) -> None:
        super().__init__(name=f"errands-executor-{index}", daemon=True)
        self._index = index
        self._workplace = workplace
        self._attempts = attempts
        self._loop = loop
        self.announcer = Announcer(workplace)

    def run(self) -> None:
        """Work; what a task or a receiver raises ends neither thread nor process."""
        floor = self._workplace.floor
        for item in iter(self._workplace.inbox.get, None):
            floor.wait()
            if isinstance(item, Claim):
                self._start(item)
            else:
                self.announcer.announce(item)

    def _start(self, claim: Claim) -> None:
        self._workplace.slots.start(self._index, claim.id)
        ready = self._attempts.prepare(claim)
        if isinstance(ready, Attempted):
            self._workplace.slots.clear(self._index)
            self._workplace.outbox.put(ready)
        elif not (ready.is_async and self._loop.take(ready)):
            self._workplace.outbox.put(self._attempts.run(ready, self._index))
