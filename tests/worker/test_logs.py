"""A log that is broken ends no thread of a worker."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from errands.exceptions import TaskTimeout
from errands.worker.logs import survive_broken_logs

logger = logging.getLogger("errands.worker")


class Raising(logging.Handler):
    """Raises what it was made with, past ``handleError``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self._error


@pytest.fixture(autouse=True)
def own_handle() -> Iterator[None]:
    yield
    vars(logger).pop("handle", None)


@contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("error", [KeyError("a handler"), SystemExit(3)])
def test_a_handler_that_raises_is_printed_and_the_line_is_lost(
    error, monkeypatch, capsys
):
    survive_broken_logs()
    survive_broken_logs()
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)

    with handled_by(Raising(error)):
        logger.warning("said to nobody")

    assert capsys.readouterr().err.count(repr(error)[:6]) >= 1


def test_an_interruption_reaches_the_task_that_logs():
    survive_broken_logs()

    with handled_by(Raising(TaskTimeout())), pytest.raises(TaskTimeout):
        logger.warning("said too late")


def test_what_a_sound_log_says_is_said(caplog):
    survive_broken_logs()

    logger.warning("said to all")

    assert caplog.messages == ["said to all"]
