"""A fault at every boundary of every operation, and what the living make of it."""

import os
import signal
import time
import warnings
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, connections

from errands.sidecar import sidecar
from tests.torture.conftest import IS_LONG
from tests.torture.faults import Faults, die, fail
from tests.torture.operations import OPERATIONS, Operation, Scene
from tests.torture.world import clear

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

MOST_BOUNDARIES = 100
GLANCE_SECONDS = 0.002
PATIENCE_SECONDS = 60.0
OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE application_name = 'doomed'",
    "mysql": "SELECT id FROM information_schema.processlist "
    "WHERE db = database() AND id <> connection_id()",
}

every_operation = pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda operation: operation.name
)

# What the threads of earlier tests keep open.
BYSTANDERS: set[int] = set()


@pytest.fixture(autouse=True)
def bystanders(transactional_db: None) -> None:
    """Note who is connected before anything is done."""
    if connection.vendor != "sqlite":
        sidecar().close()
        BYSTANDERS.clear()
        BYSTANDERS.update(others())


@every_operation
def test_a_process_killed_at_any_boundary_leaves_work_that_others_finish(
    operation: Operation,
) -> None:
    def is_killed(scene: Scene, number: int) -> bool:
        faults = Faults(die, at=number, only_after=True)
        return killed(lambda: struck(faults, operation, scene))

    assert survived(operation, is_killed) > 0


@every_operation
def test_a_database_that_fails_at_any_boundary_leaves_work_that_others_finish(
    operation: Operation,
) -> None:
    def has_failed(scene: Scene, number: int) -> bool:
        faults = Faults(fail, at=number)
        try:
            struck(faults, operation, scene)
        except OperationalError:
            pass
        finally:
            disconnect()
        return faults.has_struck

    assert survived(operation, has_failed) > 0


def survived(operation: Operation, meets: Callable[[Scene, int], bool]) -> int:
    """Do an operation once for each of its boundaries; return how many it has.

    The short form leaves out two boundaries of three.
    """
    step = 1 if IS_LONG else 3
    for number in range(1, MOST_BOUNDARIES, step):
        clear()
        scene = Scene()
        operation.prepare(scene)
        has_met = meets(scene, number)
        wait_for_the_dead()
        scene.recover()
        operation.check(scene)
        if not has_met:
            return number
    raise AssertionError(f"{operation.name} never gets through")


def struck(faults: Faults, operation: Operation, scene: Scene) -> None:
    """Act until the fault strikes."""
    with faults.waiting():
        operation.act(scene)


def killed(act: Callable[[], object]) -> bool:
    """Act in a process of its own; return whether that was killed."""
    disconnect()
    with warnings.catch_warnings():
        # Other tests of this run may have left threads; the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        # By this name PostgreSQL knows the connections that will be cut.
        os.environ["PGAPPNAME"] = "doomed"
        try:
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def disconnect() -> None:
    """Close what this process has open, as its death would."""
    sidecar().close()
    connections.close_all()


def others() -> set[int]:
    """Return the connections of other clients to this database."""
    with connection.cursor() as cursor:
        cursor.execute(OTHERS[connection.vendor])
        return {row[0] for row in cursor.fetchall()}


def wait_for_the_dead() -> None:
    """Wait until the server has noticed that a client is gone."""
    sidecar().close()
    if connection.vendor == "sqlite":
        return
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if others() <= BYSTANDERS:
            return
        time.sleep(GLANCE_SECONDS)
    raise AssertionError("the server still serves a client that is dead")
