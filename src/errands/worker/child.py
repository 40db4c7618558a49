"""One worker process: ``python -m errands.worker.child SLOTS OPTIONS``.

::

    main thread    the courier; signal handlers run here
    executors      N threads that run tasks
    heartbeat      says that the process lives
    upkeep         stages, rescues, sweeps
    lifeline       reads the supervisor's orders

The process ends by ``os._exit``: a task past its grace, or a thread that one
left behind, cannot hold it. Before that everything claimed has been settled or
given back and the worker's row is gone. Where that was impossible the exit
code is 1, and the supervisor or the expired lease does it.
"""

import faulthandler
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import django
from django.db import Error

from errands.queue.liveness import WorkerIdentity
from errands.queue.store import Store
from errands.tasks.registry import registry
from errands.worker.connections import keep_connections
from errands.worker.courier import Courier
from errands.worker.executor import Executor
from errands.worker.heartbeat import Heartbeat
from errands.worker.lifeline import follow, take_standard_input
from errands.worker.options import WorkerOptions
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.upkeep import Upkeep
from errands.worker.workplace import Workplace

logger = logging.getLogger("errands.worker")


def main(slots_path: str, options_json: str) -> None:
    """Work until told to stop, then end the process."""
    code = 1
    try:
        options = WorkerOptions.parse(options_json)
        stop = Stop(options.grace)
        # A terminal sends SIGINT to all of us; the supervisor decides.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, stop.terminate)
        leave_signals_here()
        follow(take_standard_input(), stop)
        faulthandler.enable()
        code = 0 if work(options, stop, Slots(Path(slots_path))) else 1
    except BaseException:
        logger.exception("worker process %d broke", os.getpid())
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def work(options: WorkerOptions, stop: Stop, slots: Slots) -> bool:
    """Load the site, run tasks; return whether everything was settled."""
    django.setup()
    keep_connections()
    registry.load()
    identity = WorkerIdentity.of_this_process(slots.worker_id, options.name)
    workplace = Workplace(
        options=options,
        store=Store(options.backend),
        stop=stop,
        slots=slots,
        name=identity.name,
    )
    heartbeat, upkeep = Heartbeat(workplace, identity), Upkeep(workplace)
    executors = [Executor(index, workplace) for index in range(options.threads)]
    announcers = [upkeep.announcer, *(each.announcer for each in executors)]
    for thread in (heartbeat, upkeep, *executors):
        thread.start()
    settled = Courier(workplace, heartbeat, announcers).work()
    return settled and retired(heartbeat)


def leave_signals_here() -> None:
    """Let SIGTERM end the processes that tasks fork.

    Inherited, our handler would swallow what ends the processes of a
    ``multiprocessing`` pool, and the task would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        restore = partial(signal.signal, signal.SIGTERM, signal.SIG_DFL)
        os.register_at_fork(after_in_child=restore)


def retired(heartbeat: Heartbeat) -> bool:
    """Remove the worker's row; return whether the database took it."""
    try:
        heartbeat.retire()
    except Error:
        logger.exception("worker id=%s could not be retired", heartbeat.identity.id)
        return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
