"""LISTEN, directly and behind a pooler, on the PostgreSQL of the test run."""

import threading

import psycopg
import pytest
from django.db import Error, connections

from errands.queue.committing.waking import WakeUp, notify
from errands.worker.waking import listening
from errands.worker.waking.listening import Listening
from tests.servers import postgresql

LISTENERS = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND query = 'LISTEN errands'"
)
DISCONNECT = f"SELECT pg_terminate_backend(pid, 5000) FROM ({LISTENERS}) AS listener"


@pytest.fixture
def alias(alias_of) -> str:
    return alias_of(postgresql.database("postgres"))


def test_each_call_arrives_at_whom_it_is_for(alias, bells, rung):
    with Listening(alias) as wiring:
        proved = wiring.is_sound()
        notify(alias, WakeUp.UPKEEP)
        wiring.wait(bells)

    assert proved
    assert rung == [WakeUp.UPKEEP]


def test_what_a_stranger_says_rings_for_nobody(alias, bells, rung):
    with Listening(alias) as wiring:
        notify(alias, "who is there?")
        wiring.wait(bells)

    assert rung == []


def test_behind_a_pooler_in_session_mode_it_works(alias_of, pgbouncer):
    alias = alias_of(pgbouncer("session").database("postgres"))

    with Listening(alias) as wiring:
        assert wiring.is_sound()


def test_behind_a_pooler_in_transaction_mode_it_knows_that_it_does_not(
    alias_of, pgbouncer, monkeypatch
):
    monkeypatch.setattr(listening, "PROOF_SECONDS", 0.5)
    alias = alias_of(pgbouncer("transaction").database("postgres"))

    with Listening(alias) as wiring:
        assert not wiring.is_sound()


def test_what_it_waited_with_is_closed_with_the_connection(alias):
    with Listening(alias) as wiring:
        watched = list(wiring._selector.get_map())

    assert len(watched) == 1
    assert wiring._selector.get_map() is None


def test_a_listener_that_is_disconnected_says_so(alias, bells):
    with Listening(alias) as wiring:
        assert wiring.is_sound()
        with psycopg.connect(postgresql.url(), autocommit=True) as other:
            other.execute(DISCONNECT)

        with pytest.raises(Error):
            # The server's last words come first.
            for _ in range(2):
                wiring.wait(bells)


def test_fifty_writers_at_once_wake_a_listener_with_few_rings(alias, bells, rung):
    def write() -> None:
        notify(alias, WakeUp.READY)
        connections[alias].close()

    with Listening(alias) as wiring:
        writers = [threading.Thread(target=write) for _ in range(50)]
        for writer in writers:
            writer.start()
        wiring.wait(bells)
        for writer in writers:
            writer.join()

    assert 1 <= len(rung) <= 2
