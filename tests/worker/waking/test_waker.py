"""What wakes a worker, database by database; the marks say on which."""

import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, connections, transaction

from errands.queue.committing import waking
from errands.queue.committing.waking import WakeUp
from errands.worker.waking import glancing, lingering, listening
from errands.worker.waking import waker as waker_module
from errands.worker.waking.bell import Bells
from errands.worker.waking.glancing import Glancing
from errands.worker.waking.inotify import Inotify
from errands.worker.waking.lingering import Lingering
from errands.worker.waking.waker import Waker
from errands.worker.waking.watching import Watching
from errands.worker.waking.wiring import Wiring
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)


class Silence(Wiring):
    """A wiring over which nothing comes."""

    remedy = "Speak up."

    def is_sound(self) -> bool:
        return False

    def wait(self, bells: Bells) -> None:
        raise NotImplementedError

    def _open(self) -> None: ...


class Crackling(Silence):
    """A wiring that breaks as soon as it is relied on."""

    def is_sound(self) -> bool:
        return True

    def wait(self, bells: Bells) -> None:
        raise OperationalError("the line is dead")


def elsewhere(action: Callable[[], object]) -> None:
    """Do something over a connection of another thread."""

    def act() -> None:
        try:
            action()
        finally:
            connections.close_all()

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


@pytest.fixture
def unswallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No notification of an earlier test swallows one of this."""
    monkeypatch.setattr(waking, "_sent_at", {})


@pytest.fixture
def wiring(unswallowed) -> Iterator[Wiring]:
    """What the database of this run has to offer."""
    with waker_module.WIRINGS[connection.vendor]("default") as wiring:
        assert wiring.is_sound()
        yield wiring


@pytest.fixture
def waker(real_workplace, monkeypatch) -> Callable[[type[Wiring]], Waker]:
    def make(wiring: type[Wiring]) -> Waker:
        monkeypatch.setitem(waker_module.WIRINGS, connection.vendor, wiring)
        return Waker(real_workplace, sleep=[].append)

    return make


def test_a_commit_of_another_connection_rings(wiring, bells, rung):
    elsewhere(tasks.nothing.enqueue)

    wiring.wait(bells)

    assert WakeUp.READY in rung


def test_a_task_due_soon_rings_for_the_upkeep(wiring, bells, rung):
    soon = tasks.nothing.using(run_after=waking.LONGEST_SLEEP / 2)
    elsewhere(soon.enqueue)

    wiring.wait(bells)

    assert WakeUp.UPKEEP in rung


def test_what_is_rolled_back_rings_for_nobody(wiring, bells, rung, monkeypatch):
    def roll_back() -> None:
        with transaction.atomic():
            tasks.nothing.enqueue()
            transaction.set_rollback(True)

    monkeypatch.setattr(listening, "WAIT_SECONDS", 0.1)
    elsewhere(roll_back)
    wiring.wait(bells)

    assert rung == []


@pytest.mark.parametrize("kind", [Glancing, Lingering])
def test_new_rows_are_seen_at_a_glance_on_any_database(bells, rung, kind):
    with kind("default") as wiring:
        wiring.wait(bells)
        tasks.nothing.enqueue()
        wiring.wait(bells)
        wiring.wait(bells)

    assert rung == [WakeUp.READY, WakeUp.UPKEEP]
    assert not kind.misses_nothing


def test_where_a_server_will_not_look_by_itself_the_worker_glances(
    bells, rung, monkeypatch, caplog
):
    monkeypatch.setattr(lingering, "LINGER", "BEGIN NOT LIKE THIS %s %s %s")

    with Lingering("default") as wiring, caplog.at_level(logging.INFO):
        for _ in range(2):
            wiring.wait(bells)
        tasks.nothing.enqueue()
        wiring.wait(bells)

    assert rung == [WakeUp.READY, WakeUp.UPKEEP]
    said = caplog.text.count("looking at the table from here")
    assert said == int(getattr(connection, "mysql_is_mariadb", False))


def test_glances_are_rarer_while_each_of_them_takes_long(bells, monkeypatch):
    slept: list[float] = []
    instants = iter([0.0, 0.001, 1.0, 1.05, 2.0, 2.9, 3.0, 3.001, 4.0, 4.001])
    clock = SimpleNamespace(sleep=slept.append, monotonic=lambda: next(instants))
    monkeypatch.setattr(glancing, "time", clock)

    with Glancing("default") as wiring:
        for _ in range(4):
            wiring.wait(bells)

    assert slept == pytest.approx([0.03, 0.2, 1.0, 0.03])


def test_a_server_is_asked_once_a_second_and_looks_rarer_where_that_takes_long(
    bells, rung, monkeypatch
):
    instants = iter([0.0, 3.0, 3.0, 4.0])
    clock = SimpleNamespace(monotonic=lambda: next(instants))
    asked = []

    def answer(execute, sql, params, many, context):
        asked.append(params)
        return execute("SELECT 7, 50", (), many, context)

    with Lingering("default") as wiring, wiring._connection.execute_wrapper(answer):
        monkeypatch.setattr(lingering, "time", clock)
        wiring._lingers, wiring._newest, wiring._took = True, 7, 0.0
        wiring.wait(bells)
        wiring.wait(bells)

    assert asked == [[0.02, 7, 50], [pytest.approx(0.16), 7, 1]]
    assert rung == []


def test_a_glance_costs_less_than_a_poll_of_the_queue():
    assert "MAX(id)" in glancing.NEWEST


def test_a_sound_wiring_lets_polls_be_rare_until_it_breaks(waker, real_workplace):
    wired: list[float] = []

    class Sound(Crackling):
        def wait(self, bells: Bells) -> None:
            wired.append(bells.courier.poll_seconds)
            super().wait(bells)

    waker(Sound).wake()

    assert wired == [6.0]
    assert real_workplace.bells.courier.poll_seconds == 0.25
    assert real_workplace.outbox.get_nowait() is None


def test_one_that_misses_something_leaves_polls_as_they_are(waker):
    wired: list[float] = []

    class Glance(Crackling):
        misses_nothing = False

        def wait(self, bells: Bells) -> None:
            wired.append(bells.courier.poll_seconds)
            super().wait(bells)

    waker(Glance).wake()

    assert wired == [0.25]


def test_silence_is_told_once_with_the_remedy(waker, caplog, real_workplace):
    waker = waker(Silence)

    with caplog.at_level(logging.WARNING):
        waker.wake()
        waker.wake()

    assert caplog.text.count("wake-ups of database 'default' do not arrive here") == 1
    assert "Speak up." in caplog.text
    assert not real_workplace.bells.courier.is_wired


def test_an_outage_of_the_wiring_is_endured(waker, caplog):
    waker = waker(Crackling)

    waker.wake()
    waker.wake()

    assert caplog.text.count("waker: waiting for the database") == 2


def test_what_this_process_enqueues_rings_without_any_wiring(waker, real_workplace):
    waker(Silence)

    tasks.nothing.enqueue()

    assert real_workplace.outbox.get_nowait() is None


def test_another_file_in_the_place_of_the_watched_one_is_an_outage(
    alias_of, bells, tmp_path
):
    path, another = tmp_path / "shop.sqlite3", tmp_path / "another.sqlite3"
    another.touch()
    alias = alias_of({"ENGINE": "django.db.backends.sqlite3", "NAME": path})

    with Watching(alias) as watching:
        path.unlink()
        watching.wait(bells)
        another.rename(path)
        with pytest.raises(OperationalError, match=f"another file is at {path} now"):
            watching.wait(bells)


def test_of_a_file_that_is_not_there_nobody_is_told(tmp_path):
    with pytest.raises(OSError, match="inotify"):
        Inotify(tmp_path / "missing")


def test_a_file_that_nobody_writes_makes_no_event(tmp_path):
    path = tmp_path / "quiet"
    path.touch()
    inotify = Inotify(path)

    quiet = inotify.wait(0.01)
    path.write_text("loud")
    loud = inotify.wait(1.0)
    inotify.close()

    assert (quiet, loud) == (False, True)
