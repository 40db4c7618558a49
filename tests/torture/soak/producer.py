"""A process that enqueues: as many tasks as each line of its input says.

``python -m tests.torture.soak.producer SEED``
"""

import random
import sys
import time
from datetime import timedelta
from typing import Any

import django
from django.db import Error, connections, transaction

from tests.torture.soak.ledger import note

ROLLED_BACK = 0.01
DYING = 0.0005
RAISING = 0.02
LONG = 0.08
LATER = timedelta(seconds=2)
PAUSE_SECONDS = 0.1


class Producer:
    """Enqueues plainly, in transactions and many at once, and notes what it got."""

    def __init__(self, seed: int) -> None:
        from tests.torture.soak import tasks

        self.tasks = tasks
        self.random = random.Random(seed)  # noqa: S311

    def produce(self, count: int) -> None:
        """Enqueue so many tasks that are acknowledged."""
        done = 0
        while done < count:
            size = min(self.random.choice([1, 1, 5, 20]), count - done)
            try:
                done += self.enqueue(size)
            except Error:
                note("U")
                connections.close_all()
                time.sleep(PAUSE_SECONDS)

    def enqueue(self, size: int) -> int:
        """Enqueue in one of several ways; return how many were acknowledged."""
        if size == 1 and self.random.random() < 0.5:
            return self.acknowledged([self.one()])
        rolls_back = self.random.random() < ROLLED_BACK * 2
        with transaction.atomic():
            ids = [self.one() for _ in range(size)]
            transaction.set_rollback(rolls_back)
        if rolls_back:
            for name in ids:
                note("B", name)
            return 0
        return self.acknowledged(ids)

    def acknowledged(self, ids: list[str]) -> int:
        """Note that the queue has answered for these."""
        for name in ids:
            note("A", name)
        return len(ids)

    def one(self) -> str:
        """Enqueue one call of one of the tasks."""
        chance = self.random.random()
        seconds = self.seconds()
        if chance < 0.2:
            call: tuple[Any, ...] = (self.tasks.write, seconds / 4, self.fate(0))
        elif chance < 0.3:
            call = (self.tasks.share, seconds / 10, self.random.randrange(50))
        else:
            call = (self.tasks.work, seconds, self.fate(DYING))
        task, *args = call
        if self.random.random() < 0.1:
            task = task.using(run_after=LATER)
        name = str(task.enqueue(*args).id).replace("-", "")
        note("I", name)
        return name

    def seconds(self) -> float:
        """Return how long a task takes: a few milliseconds, now and then longer."""
        is_long = self.random.random() < LONG
        return round(self.random.uniform(0.2, 1.0) if is_long else 0.003, 4)

    def fate(self, dying: float) -> str:
        """Return what becomes of a task's first attempt."""
        chance = self.random.random()
        if chance < dying:
            return "die"
        return "raise" if chance < RAISING else "end"


def main(seed: str) -> None:
    """Produce what each line asks for, and answer it."""
    django.setup()
    producer = Producer(int(seed))
    for line in sys.stdin:
        producer.produce(int(line))
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
