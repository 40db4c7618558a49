"""The threads that run tasks, and afterwards tell what became of them."""

import threading

from errands.queue.claims import Claim
from errands.worker.announcing import Announcer
from errands.worker.attempts import Attempts
from errands.worker.workplace import Workplace


class Executor(threading.Thread):
    """Takes from the inbox, until None: claims to run, attempts to announce."""

    def __init__(self, index: int, workplace: Workplace) -> None:
        super().__init__(name=f"errands-executor-{index}", daemon=True)
        self._index = index
        self._workplace = workplace
        self._attempts = Attempts(workplace)
        self.announcer = Announcer(workplace)

    def run(self) -> None:
        """Work; what a task or a receiver raises ends neither thread nor process."""
        start = self._workplace.slots.start
        outbox = self._workplace.outbox
        for item in iter(self._workplace.inbox.get, None):
            if isinstance(item, Claim):
                start(self._index, item.id)
                outbox.put(self._attempts.make(item))
            else:
                self.announcer.announce(item)
