"""Sessions of MySQL that the statements of a task make unfit for what comes next.

An interruption may come between a question and its answer, which PyMySQL would take
for the one to the next question. So a connection that it meets in a statement is
closed there and then.

Tables that a session has locked stay locked when its transaction has ended, and all
of a queue would wait for them: that connection goes with its attempt.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from errands.tasks.interrupting import REASONS

WITHOUT_MYSQL = nullcontext()
LOCKING_TABLES = re.compile(r"\s*(LOCK|FLUSH)\s", re.IGNORECASE)


def closed_when_cut_off() -> AbstractContextManager[object]:
    """Close connections of MySQL whose statement is interrupted.

    Code that goes on after it gets another one, or inside a transaction an error.
    One that was told to lock tables is closed when the attempt has ended.
    """
    if not (aliases := _aliases_of_mysql()):
        return WITHOUT_MYSQL
    stack = ExitStack()
    for alias in aliases:
        stack.enter_context(connections[alias].execute_wrapper(_close_when_cut_off))
    return stack


@cache
def _aliases_of_mysql() -> tuple[str, ...]:
    """Return those of this process: other databases may not even have a driver here."""
    databases = connections.settings.items()
    aliases = [alias for alias, each in databases if "mysql" in each["ENGINE"]]
    return tuple(filter(_has_driver, aliases))


def _has_driver(alias: str) -> bool:
    try:
        return bool(connections[alias])
    except (ImproperlyConfigured, ImportError):
        return False


def _close_when_cut_off(execute: Callable[..., Any], *statement: Any) -> Any:
    sql, *_, context = statement
    if isinstance(sql, str) and LOCKING_TABLES.match(sql):
        # Obsolete, as Django calls it.
        context["connection"].close_at = 0.0
    try:
        return execute(*statement)
    except REASONS:
        with suppress(Error):
            context["connection"].close()
        raise
