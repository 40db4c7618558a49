"""The wire to PostgreSQL is cut at every message, delivered or not."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product

import pytest
from django.db import Error, connection

from tests.torture.conftest import IS_LONG
from tests.torture.operations import OPERATIONS, Operation, Scene
from tests.torture.proxy import Proxy
from tests.torture.test_crash_points import MOST_BOUNDARIES, disconnect, wait_for_the_dead
from tests.torture.world import clear

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

# The short form leaves out two of three, each time others.
CUTS = list(product(range(1, MOST_BOUNDARIES), [True, False]))[:: 1 if IS_LONG else 3]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Return a wire that breaks when it is told to."""
    proxy = Proxy()

    yield proxy

    proxy.close()


@contextmanager
def behind(proxy: Proxy) -> Iterator[None]:
    """Reach the database over the proxy only."""
    before = dict(connection.settings_dict)
    disconnect()
    proxy.arm(0, delivered=True)
    connection.settings_dict.update(HOST="127.0.0.1", PORT=str(proxy.port))
    try:
        connection.ensure_connection()
        yield
    finally:
        disconnect()
        connection.settings_dict.update(before)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_answer_lost_at_any_message_leaves_work_that_others_finish(
    operation: Operation, proxy: Proxy
) -> None:
    for number, delivered in CUTS:
        clear()
        scene = Scene()
        operation.prepare(scene)
        with behind(proxy):
            proxy.arm(number, delivered=delivered)
            with suppress(Error):
                operation.act(scene)
            has_cut = proxy.has_cut
        wait_for_the_dead()
        scene.recover()
        operation.check(scene)
        if not has_cut:
            break
    assert 1 < number < MOST_BOUNDARIES
