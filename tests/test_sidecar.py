"""The second way into a database."""

import gc
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.db import Error, OperationalError, connections

from errands import sidecar as module
from errands.queue.living import liveness
from errands.queue.living.liveness import WorkerIdentity
from errands.sidecar import Sidecar, close_sidecars, remove_orphans, sidecar

LEASE = timedelta(minutes=1)

pytestmark = pytest.mark.django_db(transaction=True)


def forked(act: Callable[[], object]) -> int:
    """Act in a copy of this process; return how that ended, 0 where it could."""
    with warnings.catch_warnings():
        # Other tests of this run may have left threads; the copy needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        # What waits for ever is told by its end.
        signal.alarm(10)
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def register(name: str, alias: str = "default") -> None:
    """Write the row of a worker."""
    identity = WorkerIdentity.of_this_process(uuid4(), name)
    liveness.register(alias, identity, LEASE)


def registered(alias: str = "default") -> set[str]:
    """Return the names of workers, of dead ones too."""
    return {name for (name,) in sidecar(alias).execute("SELECT name FROM errands_worker")}


@contextmanager
def in_use(side: Sidecar) -> Iterator[None]:
    """Let another thread be in the middle of a statement."""
    began, ended = threading.Event(), threading.Event()

    def use() -> None:
        with side._lock:
            began.set()
            ended.wait()

    user = threading.Thread(target=use)
    user.start()
    began.wait()
    try:
        yield
    finally:
        ended.set()
        user.join()


@pytest.fixture
def in_memory(alias_of) -> Iterator[Callable[[], str]]:
    """Return a function that makes a database in memory and returns its alias."""
    added = []

    def add() -> str:
        added.append(
            alias_of({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})
        )
        return added[-1]

    yield add

    for alias in added:
        # Django's own `close` leaves open what is in memory only.
        for known in (sidecar(alias)._connection, connections[alias]):
            if known.connection is not None:
                known.connection.close()


def test_a_connection_that_broke_while_it_was_made_is_made_anew(monkeypatch):
    side = Sidecar("default")
    prepare = side._prepare

    def cut(cursor: object) -> None:
        del cursor
        side._connection.connection.close()
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(side, "_prepare", cut)
    with pytest.raises(Error):
        side.execute("SELECT 1")
    monkeypatch.setattr(side, "_prepare", prepare)

    assert [*map(tuple, side.execute("SELECT 1"))] == [(1,)]
    side.close()


def test_a_forked_process_writes_whatever_its_parent_was_doing():
    register("parent")

    with in_use(sidecar()):
        code = forked(partial(register, "child"))

    assert code == 0
    assert registered() >= {"parent", "child"}


def test_a_forked_process_leaves_its_parents_connection_alone():
    register("parent")
    driver = sidecar()._connection.connection
    kept = weakref.ref(sidecar())

    def write() -> None:
        register("child")
        gc.collect()
        assert kept() is not None
        assert sidecar() is not kept()
        assert sidecar()._connection.connection is not driver

    assert forked(write) == 0
    assert registered() >= {"parent", "child"}
    assert sidecar()._connection.connection is driver


def test_what_is_written_is_committed_where_the_site_has_autocommit_off(alias_of):
    alias = alias_of({"AUTOCOMMIT": False})
    register("committed", alias)

    seen = registered()

    sidecar(alias).close()
    assert "committed" in seen


def test_each_database_in_memory_has_a_side_of_its_own(in_memory):
    one, other = in_memory(), in_memory()
    register("worker", one)

    in_one, in_other = registered(one), registered(other)

    assert in_one == {"worker"}
    assert in_other == set()


def test_its_tables_are_made_without_a_transaction_in_the_main_database(in_memory):
    alias = in_memory()

    register("worker", alias)

    assert connections[alias].connection is None


@pytest.mark.parametrize("act", [close_sidecars, remove_orphans])
def test_another_thread_may_need_the_first_one_meanwhile(monkeypatch, alias_of, act):
    def need(side: Sidecar) -> None:
        sidecar(another)

    another = alias_of({})
    monkeypatch.setattr(module, "_sidecars", {"default": Sidecar("default")})
    monkeypatch.setattr(Sidecar, "close", need)
    monkeypatch.setattr(Sidecar, "remove_if_orphaned", need)

    act()

    assert set(module._sidecars) == {"default", another}
