"""The threads of one worker process.

::

    courier      whoever calls ``work``
    executors    N threads that run tasks
    loop         awaits those that are async
    heartbeat    says that the process lives
    upkeep       stages, rescues, relays cancels
    sweeper      runs the registered sweeps
    waker        notices what other processes enqueue
"""

import logging
from threading import Thread

from django.db import Error

from errands.queue.living.liveness import WorkerIdentity
from errands.queue.store import Store
from errands.text import clean_line
from errands.worker.attempts.making import Attempts
from errands.worker.courier import Courier
from errands.worker.executor import Executor
from errands.worker.heartbeat import Heartbeat
from errands.worker.logs import survive_broken_logs
from errands.worker.loop import Loop
from errands.worker.options import WorkerOptions
from errands.worker.outage import turns
from errands.worker.slots import Slots
from errands.worker.stopping import Stop
from errands.worker.sweeper import Sweeper
from errands.worker.upkeep import Upkeep
from errands.worker.waking.waker import Waker
from errands.worker.workplace import Workplace

logger = logging.getLogger("errands.worker")


class Crew:
    """Runs tasks in this process until told to stop."""

    def __init__(self, options: WorkerOptions, stop: Stop, slots: Slots) -> None:
        turns.share_among(options.processes)
        identity = WorkerIdentity.of_this_process(
            slots.worker_id, options.name, supervisor=options.supervisor
        )
        workplace = Workplace(
            options=options,
            store=Store(options.backend),
            stop=stop,
            slots=slots,
            name=identity.name,
        )
        heartbeat = Heartbeat(workplace, identity)
        sweeper = Sweeper()
        upkeep = Upkeep(
            workplace, may_judge=lambda: heartbeat.may_judge, sweep=sweeper.ask
        )
        attempts = Attempts(workplace, may_start=lambda: heartbeat.may_claim)
        self._threads: list[Thread] = []
        loop = Loop(workplace, attempts, begun=self._threads.append)
        executors = [
            Executor(index, workplace, attempts, loop=loop)
            for index in range(options.executors)
        ]
        self._heartbeat = heartbeat
        self._threads += [self._heartbeat, upkeep, sweeper, *executors]
        if not options.quarantine:
            self._threads.append(Waker(workplace))
        announcers = [upkeep.announcer, *(each.announcer for each in executors)]
        self._courier = Courier(
            workplace, self._heartbeat, announcers, threads=self._threads
        )

    def work(self) -> bool:
        """Run tasks; return whether everything claimed was settled or given back.

        The threads are left behind; they end with the process.
        """
        survive_broken_logs()
        for thread in self._threads:
            thread.start()
        try:
            return self._courier.work() and self._is_retired()
        finally:
            # Where the courier broke in somebody else's process, others rescue.
            self._heartbeat.give_up()

    def _is_retired(self) -> bool:
        """Remove the worker's row; return whether the database took it."""
        try:
            self._heartbeat.retire()
        except Error as error:
            worker_id, told = self._heartbeat.identity.id, clean_line(error)
            logger.warning("worker id=%s ends with its lease: %s", worker_id, told)
            return False
        return True
