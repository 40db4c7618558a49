"""Run what is ready here and now, with the worker's own parts."""

import tempfile
from pathlib import Path
from uuid import uuid4

from errands.conf import settings
from errands.queue import liveness
from errands.queue.claims import Selection
from errands.queue.store import Store
from errands.worker.announcing import Announcer
from errands.worker.attempts import Attempts
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.workplace import Workplace


def drain(backend: str = "default") -> int:
    """Run everything that is ready; return how many attempts that took.

    What an attempt makes ready is run too; what it schedules is not.
    """
    store, attempts_made = Store(backend), 0
    identity = liveness.WorkerIdentity.of_this_process(uuid4())
    liveness.register(store.alias, identity, settings().lease)
    with tempfile.TemporaryDirectory() as directory:
        workplace = Workplace(
            options=WorkerOptions(backend=backend),
            store=store,
            stop=Stop(0),
            slots=Slots.create(Path(directory, "slots"), threads=1),
            name=identity.name,
        )
        attempts, announcer = Attempts(workplace), Announcer(workplace)
        while claims := store.claim(identity.id, Selection(), 1):
            attempted = attempts.make(claims[0])
            if store.settle([attempted.settlement]):
                announcer.announce(attempted)
            attempts_made += 1
        workplace.slots.close()
    liveness.retire(store.alias, identity.id)
    return attempts_made
