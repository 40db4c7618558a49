"""One worker process: ``python -m errands.worker.supervising.child SLOTS OPTIONS``.

Or a copy of the supervisor that does the same.

::

    main thread    the courier; signal handlers run here
    lifeline       reads the supervisor's orders
    pulse          shows that threads run here
    the others     see crew.py

The process ends by ``os._exit``: a task past its grace, or a thread that one
left behind, cannot hold it. Before that everything claimed has been settled or
given back and the worker's row is gone. Where that was impossible the exit
code is 1, and the supervisor or the expired lease does it. A process whose
supervisor has died ends 10 s after its grace, whatever holds it.
"""

import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import django
from django.apps import apps

from errands.streams import flush
from errands.worker.slots import Slots
from errands.worker.stopping import Stop, hangups
from errands.worker.supervising.lifeline import (
    PATIENCE_SECONDS,
    follow,
    take_standard_input,
)

logger = logging.getLogger("errands.worker")

COLLECT_AFTER = 50_000
PYTHONS_TURN_SECONDS, TURN_SECONDS = 0.005, 0.001
# A handler may send what it has gathered to somewhere slow.
LAST_WORDS_SECONDS = 5.0


def main(slots_path: str, options_json: str) -> NoReturn:
    """Work until told to stop, then end the process."""
    code, others = 1, started_processes()
    try:
        code = 0 if work(Slots.open(Path(slots_path)), options_json) else 1
    except BaseException:
        logger.exception("worker process %d broke", os.getpid())
    finally:
        # No thread can be had, or a thread of a task holds what it waits for.
        with suppress(Exception):
            speaker = threading.Thread(target=say_what_is_left, daemon=True)
            speaker.start()
            speaker.join(LAST_WORDS_SECONDS)
        # Last: what still runs is to notice nothing of it.
        with suppress(Exception):
            terminate(started_processes() - others)
        os._exit(code)


def started_processes() -> set[Any]:
    """Return those of ``multiprocessing`` that this process has started.

    A copy of the supervisor takes those of the supervisor for its own.
    """
    library = sys.modules.get("multiprocessing")
    return set(library.active_children()) if library else set()


def terminate(processes: set[Any]) -> None:
    """End what tasks have left in pools.

    Python ends pools when it ends itself, which ``os._exit`` prevents: their processes
    would wait for work for ever.
    """
    for process in processes:
        process.terminate()


def say_what_is_left() -> None:
    """Flush logs and streams; a task may have closed them, or put anything there."""
    with suppress(Exception):
        logging.shutdown()
    flush(sys.stdout, sys.stderr)


def work(slots: Slots, options_json: str) -> bool:
    """Load the site, run tasks; return whether everything was settled.

    What the threads are made of refers to models, which may be imported only
    when the site has been set up; orders are obeyed from the beginning.
    """
    grace = json.loads(options_json)["grace"]
    stop = Stop(grace)
    # A terminal sends SIGINT to all of us; the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop.terminate)
    for number in hangups():
        signal.signal(number, stop.hang_up)
    leave_signals_here()
    end = partial(end_in_spite_of_all, grace)
    follow(take_standard_input(), stop, afterwards=end)
    show_on_demand()
    if not apps.ready:
        # In a copy it would undo what the site did to its logs when it got ready.
        django.setup()
    from errands.tasks.interrupting import raise_again_what_python_drops
    from errands.tasks.registry import registry
    from errands.worker.connections import keep_connections
    from errands.worker.crew import Crew
    from errands.worker.options import WorkerOptions
    from errands.worker.supervising.pulse import Pulse

    Pulse(slots).start()
    keep_connections()
    raise_again_what_python_drops()
    registry.load()
    collect_rarely()
    take_short_turns()
    has_settled_all = Crew(WorkerOptions.parse(options_json), stop, slots).work()
    if has_settled_all:
        slots.say_goodbye(is_done=not stop.is_requested)
    return has_settled_all


def end_in_spite_of_all(grace: float) -> NoReturn:
    """End the process if it has not stopped: who would kill it is gone.

    It may wait for a log that nobody reads, or an answer of the database, and would
    keep its tasks for as long.
    """
    time.sleep(grace + PATIENCE_SECONDS)
    os._exit(1)


def show_on_demand() -> None:
    """Print what all threads do when the process crashes, and at SIGUSR1.

    That works even where a task holds the interpreter. A site that has another
    use for the signal keeps it.
    """
    output = _standard_error()
    if output is None:
        return
    faulthandler.enable(output)
    has_signal = hasattr(faulthandler, "register")
    if has_signal and signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
        faulthandler.register(signal.SIGUSR1, output)


def _standard_error() -> int | None:
    """Return its descriptor, also where the site has put what is no file in its place."""
    for stream in (sys.stderr, sys.__stderr__):
        # What writes into a list, say, has none.
        with suppress(AttributeError, OSError, ValueError):
            return stream.fileno()  # type: ignore[union-attr]
    return None


def collect_rarely() -> None:
    """Look for cycles after 50,000 new objects, not 2,000; not at those of the site.

    Thousands of claims are alive for a moment. To look through them so often
    takes a tenth of a quick task's time. A site that has turned the collector
    off, or made it rarer, knows better.
    """
    gc.freeze()
    first, *others = gc.get_threshold()
    if 0 < first < COLLECT_AFTER:
        gc.set_threshold(COLLECT_AFTER, *others)


def take_short_turns() -> None:
    """Let threads take turns every millisecond, not every five; see ``floor``.

    A site that has set another time knows better.
    """
    if sys.getswitchinterval() == PYTHONS_TURN_SECONDS:
        sys.setswitchinterval(TURN_SECONDS)


def leave_signals_here() -> None:
    """Let SIGTERM and SIGHUP end the processes that tasks fork.

    Inherited, our handler would swallow what ends the processes of a
    ``multiprocessing`` pool, and the task would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        for number in (signal.SIGTERM, *hangups()):
            restore = partial(signal.signal, number, signal.SIG_DFL)
            os.register_at_fork(after_in_child=restore)


if __name__ == "__main__":
    main(*sys.argv[1:])
