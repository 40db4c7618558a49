"""ADMINS hear of failures, once in a while."""

import logging
from datetime import timedelta
from logging import makeLogRecord

import pytest
from django.core import mail
from django.tasks.signals import task_finished

from errands.reporting import mail as reporting
from errands.sidecar import sidecar
from errands.testing import drain
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reported(settings):
    settings.ADMINS = ["ops@shop.example"]
    settings.ERRANDS = {"MAIL_FAILURES": True}
    reporting.connect()
    yield
    task_finished.disconnect(dispatch_uid="errands.reporting.mail")
    sidecar().update("DELETE FROM errands_rate")


def test_a_failed_task_is_mailed_with_its_error_and_without_its_arguments():
    tasks.fail_once.enqueue("secret: 4711")

    drain(raise_errors=False)

    (message,) = mail.outbox
    assert message.subject.endswith("Task failed: tests.testapp.tasks.fail_once")
    assert "ValueError" in message.body
    assert "attempts:  1" in message.body


def test_many_failures_of_a_task_are_one_mail():
    tasks.fail_once.enqueue_many([((), {})] * 20)

    drain(raise_errors=False)

    assert len(mail.outbox) == 1


def test_failures_of_different_tasks_are_mailed_each():
    tasks.fail_once.enqueue()
    tasks.leave.enqueue()

    drain(raise_errors=False)

    assert len(mail.outbox) == 2


def test_tasks_whose_long_paths_begin_alike_are_mailed_each(monkeypatch):
    result = tasks.fail_once.enqueue()
    drain(raise_errors=False)
    result.refresh()
    mail.outbox.clear()

    for name in ("first", "second", "second"):
        monkeypatch.setattr(tasks.fail_once.func, "__qualname__", f"{'x' * 100}.{name}")
        reporting.mail_failure(task_result=result)

    first, second = [message.subject for message in mail.outbox]
    assert first.endswith("x.first")
    assert second.endswith("x.second")


def test_every_failure_is_mailed_where_no_time_is_kept_between(settings):
    settings.ERRANDS = {"MAIL_FAILURES": True, "MAIL_FAILURES_EVERY": timedelta()}
    tasks.fail_once.enqueue_many([((), {})] * 3)

    drain(raise_errors=False)

    assert len(mail.outbox) == 3


@pytest.mark.parametrize("task", [tasks.nothing, tasks.discard, tasks.discard_all])
def test_success_and_discard_are_not_mailed(task):
    task.enqueue()

    drain(raise_errors=False)

    assert mail.outbox == []


@pytest.mark.parametrize("how", ["discarded", "withdrawn"])
def test_what_is_no_failure_is_no_error_in_the_log(how, caplog):
    caplog.set_level(logging.INFO, logger="django.tasks")
    ends = {"discarded": tasks.discard, "withdrawn": tasks.nothing}
    result = ends[how].enqueue()
    if how == "withdrawn":
        result.task.get_backend().cancel(result.id)

    drain(raise_errors=False)

    ended = [each for each in caplog.records if "state=FAILED" in each.getMessage()]
    assert [each.levelname for each in ended] == ["INFO"]


def test_a_cancelled_task_is_not_mailed():
    result = tasks.nothing.enqueue()

    tasks.nothing.get_backend().cancel(result.id)

    assert mail.outbox == []


def test_djangos_own_mail_of_each_failure_is_left_out():
    assert not reporting.is_not_of_a_task(makeLogRecord({"name": "django.tasks"}))
    assert reporting.is_not_of_a_task(makeLogRecord({"name": "django.request"}))
