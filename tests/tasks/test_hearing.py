"""A signal that nobody hears is not sent."""

import pytest
from django.tasks.signals import (
    log_task_enqueued,
    task_enqueued,
    task_finished,
    task_started,
)

from errands.tasks.hearing import LOGGING, is_heard


@pytest.fixture(autouse=True)
def only_djangos_and_ours(monkeypatch):
    for signal in (task_enqueued, task_started):
        monkeypatch.setattr(signal, "receivers", signal.receivers[:1])
    usual, _ = LOGGING[task_finished]
    monkeypatch.setattr(task_finished, "receivers", [*usual.receivers])


def test_the_log_hears_what_is_of_its_level(caplog):
    with caplog.at_level("INFO", "django.tasks"):
        assert not is_heard(task_enqueued)
        assert is_heard(task_started)

    with caplog.at_level("WARNING", "django.tasks"):
        assert not is_heard(task_started)

    with caplog.at_level("DEBUG", "django.tasks"):
        assert is_heard(task_enqueued)


def test_a_receiver_besides_the_log_hears(caplog):
    caplog.set_level("WARNING", "django.tasks")

    task_enqueued.connect(lambda **sent: None, weak=False)

    assert is_heard(task_enqueued)


def test_a_receiver_in_place_of_the_log_hears(caplog):
    caplog.set_level("WARNING", "django.tasks")

    task_enqueued.disconnect(log_task_enqueued)
    task_enqueued.connect(lambda **sent: None, weak=False)

    assert is_heard(task_enqueued)


def test_what_looks_after_jobs_is_among_those_who_need_no_other_success():
    usual, _ = LOGGING[task_finished]

    assert "errands.runs.reconcile" in {uid for (uid, _), *_ in usual.receivers}
