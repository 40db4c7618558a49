"""What a task does to a session of MySQL troubles nobody after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections

from errands.exceptions import TaskCancelled
from errands.worker.attempts import mysql_sessions
from errands.worker.attempts.mysql_sessions import closed_when_cut_off

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def interrupted_before_the_answer() -> Iterator[None]:
    """Send what is executed inside, and be interrupted then."""
    if connection.vendor != "mysql":

        def execute_and_be_interrupted(execute: Callable[..., Any], *told: Any) -> None:
            execute(*told)
            raise TaskCancelled

        with connection.execute_wrapper(execute_and_be_interrupted):
            yield
        return
    driver = type(connection.connection)
    send = driver._write_bytes

    def send_and_be_interrupted(self, data):
        send(self, data)
        raise TaskCancelled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_write_bytes", send_and_be_interrupted)
        yield


def test_no_answer_is_taken_for_that_to_another_question():
    connection.ensure_connection()

    with closed_when_cut_off(), connection.cursor() as cursor:
        with pytest.raises(TaskCancelled), interrupted_before_the_answer():
            cursor.execute("SELECT 'cancelled'")
        with connection.cursor() as another:
            another.execute("SELECT 'asked for'")
            answer = another.fetchone()

    assert answer == ("asked for",)


def test_a_database_that_no_attempt_here_can_use_is_in_nobodys_way(monkeypatch):
    without_driver = {"ENGINE": "no_such_driver.mysql"}
    monkeypatch.setitem(connections.settings, "elsewhere", without_driver)
    aliases_of_mysql = mysql_sessions._aliases_of_mysql
    monkeypatch.setattr(mysql_sessions, "_aliases_of_mysql", aliases_of_mysql.__wrapped__)

    with closed_when_cut_off(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        answer = cursor.fetchone()

    assert answer == (1,)
