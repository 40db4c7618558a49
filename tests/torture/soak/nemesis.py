"""Who breaks things: in an order that its seed decides, and never everything.

Whatever it breaks, at least one other tree is healthy, so that the tasks have
somewhere to go; a database restart spares nobody.
"""

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.torture.soak.trees import Tree, has_died, wait_for

LEASE_SECONDS = 3.0
FROZEN_SECONDS = 1.6 * LEASE_SECONDS


@dataclass
class Deeds:
    """What was done to whom, and when."""

    killed: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Between which instants a process died: it works on until it does."""

    frozen: list[tuple[int, float]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    """Between which instants the database was away, or only its connections cut."""

    told: list[tuple[float, str]] = field(default_factory=list)
    kills: int = 0
    zombies: int = 0
    restarts: int = 0


class Nemesis:
    """Performs a list of deeds, one after the other."""

    def __init__(self, trees: Sequence[Tree], server: Any, seed: int) -> None:
        self.trees = trees
        self.server = server
        self.random = random.Random(seed)  # noqa: S311
        self.deeds = Deeds()

    def plan(self, *, kills: int, zombies: int, restarts: int) -> list[str]:
        """Return the deeds in the order of this seed."""
        ways = ["kill_child"] * 6 + ["kill_supervisor"] * 2 + ["kill_tree"] * 2
        deeds = [self.random.choice(ways) for _ in range(kills)]
        deeds += ["freeze"] * zombies + ["stop"] * (kills // 20 + 1)
        if self.server.can_restart:
            deeds += ["restart"] * restarts + ["disconnect"] * (kills // 20 + 1)
        self.random.shuffle(deeds)
        return deeds

    def perform(self, deed: str) -> None:
        """Wait until two trees are healthy, then break something of one."""
        wait_for(lambda: len(self.healthy) > 1, "two healthy trees")
        self.deeds.told.append((time.monotonic(), deed))
        getattr(self, deed)(self.random.choice(self.healthy))

    @property
    def healthy(self) -> list[Tree]:
        """The trees that are ready and have not ended."""
        return [
            tree
            for tree in self.trees
            if tree.is_ready and tree.process.poll() is None and tree.children
        ]

    def kill_child(self, tree: Tree) -> None:
        """Kill one worker process; its supervisor sees it."""
        pid, since = self.random.choice(tree.children), time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.note_deaths([pid], since)

    def kill_supervisor(self, tree: Tree) -> None:
        """Kill a supervisor; its children give back what they hold."""
        self.deeds.kills += 1
        tree.process.kill()
        tree.replace()

    def kill_tree(self, tree: Tree) -> None:
        """Kill all of a tree at once."""
        since = time.monotonic()
        self.note_deaths(tree.kill(), since)
        tree.replace()

    def freeze(self, tree: Tree) -> None:
        """Stop a worker process for longer than its lease: a zombie."""
        pid = self.random.choice(tree.children)
        self.deeds.frozen.append((pid, time.monotonic()))
        self.deeds.zombies += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(FROZEN_SECONDS)
            os.kill(pid, signal.SIGCONT)

    def stop(self, tree: Tree) -> None:
        """Ask a tree to stop, as a deployment does."""
        code = tree.stop()
        assert code == 0, f"a worker asked to stop ended with {code}"
        tree.start()

    def restart(self, tree: Tree) -> None:
        """Restart the database, as its own crash would or in good order."""
        since = time.monotonic()
        self.server.restart(self.random.choice(["fast", "immediate"]))
        self.deeds.outages.append((since, time.monotonic()))
        self.deeds.restarts += 1

    def disconnect(self, tree: Tree) -> None:
        """Terminate connections at whatever they are doing."""
        self.deeds.outages.append((time.monotonic(),) * 2)
        self.server.disconnect(self.random)

    def note_deaths(self, pids: Sequence[int], since: float) -> None:
        """Note one kill of these processes, which began at an instant."""
        self.deeds.kills += 1
        wait_for(lambda: all(map(has_died, pids)), f"the end of {pids}")
        until = time.monotonic()
        for pid in pids:
            self.deeds.killed.setdefault(pid, (since, until))
