"""The heartbeat: registering, living on, being given up, leaving."""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError

from errands.conf import settings
from errands.queue.living import liveness
from errands.queue.living.liveness import WorkerIdentity
from errands.sidecar import sidecar
from errands.worker import heartbeat as heartbeat_module
from errands.worker.heartbeat import Heartbeat
from errands.worker.workplace import Workplace


@pytest.fixture
def heartbeat(real_workplace: Workplace) -> Heartbeat:
    return Heartbeat(real_workplace, WorkerIdentity.of_this_process(uuid4(), "anna"))


@pytest.fixture
def is_registered() -> Callable[[UUID], bool]:
    def look(worker_id: UUID) -> bool:
        rows = sidecar().execute(
            "SELECT id FROM errands_worker WHERE id = %s", [worker_id.hex]
        )
        return bool(rows)

    return look


def test_nothing_may_be_claimed_before_the_first_beat(heartbeat, is_registered):
    assert not heartbeat.may_claim
    assert not is_registered(heartbeat.identity.id)


def test_the_first_beat_registers_and_wakes_the_courier(
    heartbeat, is_registered, real_workplace
):
    heartbeat.beat()

    assert is_registered(heartbeat.identity.id)
    assert heartbeat.may_claim
    assert real_workplace.outbox.get_nowait() is None


def test_further_beats_keep_the_id(heartbeat, real_workplace):
    heartbeat.beat()
    registered = heartbeat.identity.id
    real_workplace.outbox.get_nowait()

    heartbeat.beat()

    assert heartbeat.identity.id == registered
    assert heartbeat.may_claim
    assert real_workplace.outbox.empty()


@pytest.mark.parametrize("was_written", [True, False])
def test_a_registration_whose_answer_is_lost_is_found_or_made_anew(
    heartbeat, is_registered, monkeypatch, was_written
):
    register = liveness.register

    def lose(*told: object) -> None:
        if was_written:
            register(*told)
        raise OperationalError("server closed the connection unexpectedly")

    asked_for = heartbeat.identity.id
    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(liveness, "register", lose)
        heartbeat.beat()
    heartbeat.beat()

    assert heartbeat.may_claim
    assert is_registered(heartbeat.identity.id)
    assert (heartbeat.identity.id == asked_for) == was_written


def test_a_worker_that_was_given_up_goes_on_under_a_fresh_id(
    heartbeat, is_registered, real_workplace
):
    heartbeat.beat()
    given_up = heartbeat.identity.id
    liveness.retire("default", given_up)

    heartbeat.beat()

    fresh = heartbeat.identity.id
    assert fresh != given_up
    assert is_registered(fresh)
    assert heartbeat.may_claim
    assert real_workplace.slots.worker_id == fresh


def test_nothing_may_be_claimed_a_lease_after_the_last_beat(heartbeat, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(heartbeat_module.time, "monotonic", lambda: now[0])
    heartbeat.beat()
    lease = settings().lease.total_seconds()

    now[0] += lease - 0.1
    within = heartbeat.may_claim
    now[0] += 0.1

    assert within
    assert not heartbeat.may_claim


def test_who_was_not_heard_for_long_takes_nobody_for_lost_for_a_lease(
    heartbeat, monkeypatch
):
    now = [1000.0]
    monkeypatch.setattr(heartbeat_module.time, "monotonic", lambda: now[0])
    lease, pause = settings().lease.total_seconds(), settings().heartbeat.total_seconds()
    heartbeat.beat()
    judged = [heartbeat.may_judge]

    now[0] += lease - pause + 0.1
    judged.append(heartbeat.may_judge)
    heartbeat.beat()
    judged.append(heartbeat.may_judge)
    for _ in range(int(lease / pause)):
        now[0] += pause
        heartbeat.beat()
    judged.append(heartbeat.may_judge)

    assert judged == [True, False, False, True]


def test_a_retired_worker_is_gone_and_does_not_come_back(heartbeat, is_registered):
    heartbeat.beat()

    heartbeat.retire()
    heartbeat.beat()

    assert not is_registered(heartbeat.identity.id)
    assert not heartbeat.may_claim


def test_an_error_nobody_thought_of_ends_no_heartbeat(heartbeat, monkeypatch, caplog):
    beats: list[str] = []

    def stumble():
        beats.append("stumbled")
        if len(beats) == 2:
            heartbeat.give_up()
        raise RuntimeError("a stone")

    monkeypatch.setattr(heartbeat, "beat", stumble)
    monkeypatch.setattr(heartbeat_module, "AFTER_ERROR_SECONDS", 0.0)

    heartbeat.run()

    assert len(beats) == 2
    assert "a stone" in caplog.text


def test_who_gives_up_leaves_the_row_to_its_end(heartbeat, is_registered, monkeypatch):
    heartbeat.beat()
    extended: list[int] = []
    monkeypatch.setattr(liveness, "heartbeat", lambda *told: extended.append(1))

    heartbeat.give_up()
    heartbeat.beat()

    assert is_registered(heartbeat.identity.id)
    assert not heartbeat.may_claim
    assert extended == []
