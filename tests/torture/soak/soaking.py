"""One soak: producers and workers, kept in step with the nemesis."""

import argparse
import subprocess
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import Error, connections  # noqa: E402

from errands.conf import settings  # noqa: E402
from errands.queue.models import ResultRow, TaskRow  # noqa: E402
from errands.sidecar import sidecar  # noqa: E402
from tests.testapp.models import Account  # noqa: E402
from tests.torture.soak import ledger, tasks  # noqa: E402
from tests.torture.soak.checker import Checker, Database, Verdict  # noqa: E402
from tests.torture.soak.nemesis import Nemesis  # noqa: E402
from tests.torture.soak.trees import Tree, python, wait_for  # noqa: E402

SETTLING_SECONDS = 120.0
GLANCE_SECONDS = 0.2
PAUSE_SECONDS = 0.8


class Soak:
    """Everything that runs during a soak."""

    def __init__(self, options: argparse.Namespace, directory: Path, server: Any) -> None:
        call_command("migrate", run_syncdb=True, verbosity=0)
        self.options, self.directory = options, directory
        self.trees = [Tree(index, directory) for index in range(options.trees)]
        self.nemesis = Nemesis(self.trees, server, options.seed)
        self.producers = [
            python(
                "tests.torture.soak.producer",
                str(options.seed + index),
                log=directory / f"producer-{index}.log",
            )
            for index in range(options.producers)
        ]
        self.connection = sidecar()

    @property
    def longest_recovery(self) -> float:
        """How long a task may wait for its next worker."""
        return (settings().lease + settings().sweep).total_seconds()

    def run(self) -> Verdict:
        """Produce a share of the tasks before each deed, then check."""
        chosen = self.options
        wait_for(lambda: all(tree.is_ready for tree in self.trees), "ready workers")
        deeds = self.nemesis.plan(
            kills=chosen.kills, zombies=chosen.zombies, restarts=chosen.restarts
        )
        left = chosen.tasks
        for index, deed in enumerate([*deeds, ""]):
            share = left // (len(deeds) + 1 - index)
            left -= share
            self.produce(share)
            time.sleep(self.nemesis.random.uniform(0.1, PAUSE_SECONDS))
            if deed:
                self.nemesis.perform(deed)
            self.wait_for_producers()
            self.report(index, deed)
        self.settle()
        return self.check()

    def produce(self, count: int) -> None:
        """Tell the producers how many to enqueue."""
        shares = len(self.producers)
        for index, producer in enumerate(self.producers):
            assert producer.stdin is not None
            producer.stdin.write(f"{(count + index) // shares}\n")
            producer.stdin.flush()

    def wait_for_producers(self) -> None:
        """Wait until they have what they were told to."""
        for producer in self.producers:
            assert producer.stdout is not None
            if producer.stdout.readline() != "done\n":
                raise RuntimeError("a producer has ended")

    def report(self, index: int, deed: str) -> None:
        """Say now and then how far it is."""
        if index % 20 == 0:
            sys.stdout.write(
                f"{time.strftime('%H:%M:%S')} {index} {deed} {self.live()}\n"
            )
            sys.stdout.flush()

    def settle(self) -> None:
        """Wait until nothing is live, or nothing has moved for long."""
        least, since = self.live(), time.monotonic()
        while least and time.monotonic() - since < SETTLING_SECONDS / 2:
            time.sleep(GLANCE_SECONDS)
            live = self.live()
            if live < least:
                least, since = live, time.monotonic()
        for tree in self.trees:
            code = tree.stop()
            assert code == 0, f"a worker asked to stop ended with {code}"

    def live(self) -> int:
        """Return how many tasks have not ended."""
        while True:
            try:
                return TaskRow.objects.count()
            except Error:
                connections.close_all()
                time.sleep(GLANCE_SECONDS)

    def check(self) -> Verdict:
        """Read everything, and judge."""
        events = ledger.read(self.directory / "ledger")
        checker = Checker(events, self.nemesis.deeds, self.database())
        return checker.check(max_attempts=tasks.MAX_ATTEMPTS)

    def database(self) -> Database:
        """Read what the checker has to know."""
        rows = ResultRow.objects.values_list("uuid", "status", "token", "path")
        statuses, tokens, transactional = {}, {}, set()
        for uuid, status, token, path in rows:
            statuses[uuid.hex], tokens[uuid.hex] = status, token
            if path == tasks.write.module_path:
                transactional.add(uuid.hex)
        leases: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for pid, started_at, expires_at in self.connection.execute(
            "SELECT pid, started_at, expires_at FROM errands_worker"
        ):
            leases[pid].append((instant(started_at), instant(expires_at)))
        names = Account.objects.values_list("name", flat=True)
        live = TaskRow.objects.count()
        return Database(statuses, tokens, live, Counter(names), transactional, leases)

    def end(self) -> None:
        """End whatever still runs."""
        for tree in self.trees:
            if tree.process.poll() is None:
                tree.kill()
        for producer in self.producers:
            producer.kill()
        end_all([*self.producers, *(tree.process for tree in self.trees)])
        self.connection.close()
        connections.close_all()


def end_all(processes: "list[subprocess.Popen[str]]") -> None:
    """Wait for processes that were killed, and close their pipes."""
    for process in processes:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def instant(stored: Any) -> float:
    """Return an instant of the database as the wall clock counts."""
    if isinstance(stored, str):
        stored = datetime.fromisoformat(stored)
    if stored.tzinfo is None:
        stored = stored.replace(tzinfo=UTC)
    seconds: float = stored.timestamp()
    return seconds
