"""A database that does not answer keeps no supervisor from stopping."""

import signal
import threading
from collections.abc import Iterator

import pytest

from errands.worker.supervising.asking import ALARM, Asking, Unanswered

LONG_SECONDS, SOON_SECONDS = 60.0, 0.05


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    assert ALARM is not None
    before = signal.getsignal(ALARM)
    yield
    assert signal.getsignal(ALARM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0


@pytest.fixture
def asking() -> Asking:
    return Asking(patience=SOON_SECONDS)


def wait_for_an_answer(seconds: float = LONG_SECONDS) -> bool:
    return not threading.Event().wait(seconds)


def test_who_is_told_to_stop_in_a_question_waits_for_a_moment_only(asking: Asking):
    told = threading.Timer(SOON_SECONDS, asking.hurry)
    told.start()

    with pytest.raises(Unanswered), asking.asking():
        wait_for_an_answer()


def test_who_is_stopping_waits_for_a_moment_only(asking: Asking):
    asking.hurry()

    with pytest.raises(Unanswered), asking.asking():
        wait_for_an_answer()


def test_what_is_tidied_up_after_it_does_not_wait_either(asking: Asking):
    asking.hurry()

    with pytest.raises(Unanswered), asking.asking():
        try:
            wait_for_an_answer()
        finally:
            wait_for_an_answer()


def test_nobody_is_disturbed_who_is_not_told_to_stop(asking: Asking):
    with asking.asking():
        has_waited = wait_for_an_answer(4 * SOON_SECONDS)

    assert has_waited


def test_a_database_that_answers_is_asked_while_stopping(asking: Asking):
    asking.hurry()

    with asking.asking():
        answer = "yes"
    has_waited = wait_for_an_answer(4 * SOON_SECONDS)

    assert answer == "yes"
    assert has_waited
