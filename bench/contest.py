"""Every peer in a process and a database of its own, taking turns.

What goes wrong with one peer is noted, with its reason, and stops no other.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import psycopg
import pymysql
from psycopg.conninfo import conninfo_to_dict

from bench.noise import probe
from tests.servers import mysql, postgresql

ENGINES = ("postgresql", "sqlite", "mysql", "redis")
UNREACHABLE = (psycopg.Error, pymysql.MySQLError, postgresql.NoPostgreSQL, mysql.NoMySQL)
REDIS = os.environ.get("ERRANDS_BENCH_REDIS", "redis://127.0.0.1:6379/15")
ANSWER_SECONDS = 240


class NotRun(Exception):
    """A peer did not answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A peer on one engine."""

    module: str
    name: str
    engine: str


@dataclass
class Results:
    """Everything that was measured, and why something was not."""

    measured: dict[str, dict[Contestant, list[Any]]] = field(default_factory=dict)
    failed: dict[str, dict[Contestant, str]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)

    def add(self, measure: str, contestant: Contestant, answer: Any) -> None:
        """Note one answer."""
        of_measure = self.measured.setdefault(measure, {})
        of_measure.setdefault(contestant, []).append(answer)

    def fail(self, measure: str, contestant: Contestant, reason: str) -> None:
        """Note why there is no answer."""
        self.failed.setdefault(measure, {})[contestant] = reason


class Stand:
    """The process in which one peer is measured."""

    def __init__(self, contestant: Contestant, url: str, logs: Path) -> None:
        self.contestant = contestant
        self.broken = ""
        prefix = logs / f"{contestant.module}-{contestant.engine}"
        arguments = (contestant.module, contestant.engine, url, f"{prefix}.worker.log")
        with prefix.with_suffix(".log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.stand", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def ask(self, measure: str, **arguments: Any) -> None:
        """Have something measured; ``answer`` returns what."""
        if self.broken:
            return
        line = json.dumps([measure, arguments]) + "\n"
        assert self._process.stdin  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError:  # it died after its last answer
            self.broken = "it died"
            self.close()

    def answer(self, seconds: float = ANSWER_SECONDS) -> Any:
        """Return the answer; ``NotRun`` with the reason when there is none."""
        if self.broken:
            raise NotRun(self.broken)
        assert self._process.stdout  # noqa: S101 - it is a pipe
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            self.broken = f"no answer in {seconds:.0f} s" if not readable else "it died"
            self.close()
            raise NotRun(self.broken)
        answer = json.loads(line)
        if "error" in answer:
            raise NotRun(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        """End the process, and with it whatever it started."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what it was not told any more
                assert pipe  # noqa: S101 - it is a pipe
                pipe.close()


@dataclass
class Contest:
    """The stands that are ready, and the results so far."""

    stands: list[Stand]
    results: Results
    _order: Random = field(default_factory=partial(Random, 0))

    def turn(
        self,
        measure: str,
        name: str = "",
        *,
        of: Callable[[Contestant], bool] = lambda _: True,
        **arguments: Any,
    ) -> None:
        """Let everybody be measured once, or whom ``of`` chooses, one by one.

        In another order each time, so that nobody always comes after the same.
        """
        self._order.shuffle(self.stands)
        for stand in self.stands:
            if of(stand.contestant):
                self.results.probes.append(probe())
                stand.ask(measure, **arguments)
                self._note(stand, name or measure)

    def together(self, measure: str, **arguments: Any) -> None:
        """Let everybody be measured at the same time."""
        for stand in self.stands:
            stand.ask(measure, **arguments)
        for stand in self.stands:
            self._note(stand, measure)

    def alone(self, contestant: Contestant, measure: str, **arguments: Any) -> None:
        """Let one be measured."""
        for stand in self.stands:
            if stand.contestant == contestant:
                stand.ask(measure, **arguments)
                self._note(stand, measure, seconds=3600)

    def _note(self, stand: Stand, measure: str, seconds: float = ANSWER_SECONDS) -> None:
        started = time.monotonic()
        contestant = stand.contestant
        try:
            answer = stand.answer(seconds)
        except NotRun as error:
            self.results.fail(measure, contestant, str(error))
            answer = f"not run: {error}"
        else:
            self.results.add(measure, contestant, answer)
        told = f"{answer:,.2f}" if isinstance(answer, float) else answer
        label = f"{contestant.name} on {contestant.engine}"
        elapsed = time.monotonic() - started
        print(f"  {measure}: {label}: {told} [{elapsed:.1f} s]", file=sys.stderr)


@contextmanager
def contest(contestants: list[Contestant], logs: Path) -> Iterator[Contest]:
    """Make the databases and the stands, and take them away again."""
    results = Results()
    with ExitStack() as stack:
        ready = []
        for contestant in contestants:
            try:
                url = stack.enter_context(_database(contestant))
                stand = Stand(contestant, url, logs)
                stack.callback(stand.close)
                stand.answer()
            except (NotRun, *UNREACHABLE) as error:
                results.fail("all", contestant, str(error))
                continue
            ready.append(stand)
        yield Contest(ready, results)


@contextmanager
def _database(contestant: Contestant) -> Iterator[str]:
    if contestant.engine == "redis":
        yield REDIS
    elif contestant.engine == "sqlite":
        with TemporaryDirectory(prefix="errands-bench-") as directory:
            yield f"{directory}/{contestant.module}.sqlite3"
    else:
        name = f"errands_bench_{os.getpid()}_{contestant.module}"
        server = _mysql_database if contestant.engine == "mysql" else _postgresql_database
        with server(name) as url:
            yield url


@contextmanager
def _postgresql_database(name: str) -> Iterator[str]:
    drop = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
    with psycopg.connect(postgresql.url(), autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(f'CREATE DATABASE "{name}"')
        yield _url(name)
        connection.execute(drop)


@contextmanager
def _mysql_database(name: str) -> Iterator[str]:
    drop = f"DROP DATABASE IF EXISTS `{name}`"
    with mysql.connect() as connection, connection.cursor() as cursor:
        cursor.execute(drop)
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        yield f"mysql:{name}"
        cursor.execute(drop)


def _url(name: str) -> str:
    """Return a URL that psycopg, asyncpg and Django's settings can read."""
    parts = conninfo_to_dict(postgresql.url())
    parts.pop("dbname", None)
    return f"postgresql:///{name}?{urlencode(parts)}"
