"""System checks of what makes a queue fail in production."""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.db import connections

from errands.queue.names import ONE_NAME, is_queue_name
from errands.queue.statements import DATABASES
from errands.tasks.options import MOST_ATTEMPTS
from errands.text import did_you_mean

if TYPE_CHECKING:
    from errands.queue.backend import DatabaseBackend

SQLITE_REMEDY = (
    "Set DATABASES['{alias}']['OPTIONS'] = {{'transaction_mode': 'IMMEDIATE', "
    "'init_command': 'PRAGMA journal_mode=WAL'}}."
)


def _may_be_queues(value: object) -> bool:
    if not isinstance(value, list | tuple | set | frozenset):
        return False
    return all(isinstance(name, Hashable) for name in value)


def _may_be_options(value: object) -> bool:
    return isinstance(value, Mapping)


KINDS: dict[str, tuple[Callable[[], Any], Callable[[object], bool], str]] = {
    "QUEUES": (list, _may_be_queues, "a list of names of queues"),
    "OPTIONS": (dict, _may_be_options, "a dict"),
}
"""What stands for it where it is missing, whether it may be that, and what in words."""

OF_DJANGO = ("BACKEND", "QUEUES", "OPTIONS")
"""What an entry of ``TASKS`` may have."""

READ_COMMITTED = "read committed"
# However SQLite lets it be written: journal_mode = 'WAL', journal_mode(wal).
WAL = re.compile(r"journal_mode\s*[=(]\s*['\"]?wal\b", re.IGNORECASE)


def check_backend(
    backend: "DatabaseBackend", *, known_options: tuple[str, ...]
) -> list[checks.CheckMessage]:
    """Return what is wrong with a backend's options and its database."""
    return [
        *_kinds(backend),
        *_queues(backend),
        *_unknown_options(backend, known_options),
        *_attempts(backend),
        *_database(backend),
    ]


def usable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of ``TASKS`` as far as a backend can be made of them.

    It must be made, for its checks to say what is wrong with the others.
    """
    return {
        key: value if may_be(value := params.get(key, like())) else like()
        for key, (like, may_be, _) in KINDS.items()
    }


def _kinds(backend: "DatabaseBackend") -> list[checks.CheckMessage]:
    return [
        checks.Error(
            f"TASKS[{backend.alias!r}][{key!r}] is {backend.params[key]!r}; it takes "
            f"{told}.",
            id="errands.E007",
        )
        for key, (_, may_be, told) in KINDS.items()
        if key in backend.params and not may_be(backend.params[key])
    ]


def _queues(backend: "DatabaseBackend") -> list[checks.CheckMessage]:
    return [
        checks.Error(
            f"TASKS[{backend.alias!r}]['QUEUES'] names {name!r}, which no task can be "
            f"in: a queue's name is {ONE_NAME}, which mean something to a worker's "
            "--queues.",
            id="errands.E008",
        )
        for name in backend.queues
        if not is_queue_name(name)
    ]


def _unknown_options(
    backend: "DatabaseBackend", known: tuple[str, ...]
) -> list[checks.CheckMessage]:
    messages: list[checks.CheckMessage] = [
        checks.Error(
            f"TASKS[{backend.alias!r}][{name!r}] stands beside OPTIONS, where nobody "
            f"reads it. Move it into TASKS[{backend.alias!r}]['OPTIONS'].",
            id="errands.E001",
        )
        for name in known
        if name in backend.params
    ]
    for name in backend.params:
        if name not in {*OF_DJANGO, *known}:
            hint = _meant(name, OF_DJANGO) or f" Known: {', '.join(OF_DJANGO)}."
            text = f"Unknown key {name!r} in TASKS[{backend.alias!r}].{hint}"
            messages.append(checks.Error(text, id="errands.E001"))
    for name in backend.options:
        if name not in known:
            hint = _meant(name, known) or f" Known: {known}."
            text = f"Unknown option {name!r} for TASKS[{backend.alias!r}].{hint}"
            messages.append(checks.Error(text, id="errands.E001"))
    return messages


def _meant(name: object, known: tuple[str, ...]) -> str:
    return did_you_mean(str(name).upper(), known)


def _attempts(backend: "DatabaseBackend") -> list[checks.CheckMessage]:
    attempts = backend.options.get("MAX_ATTEMPTS")
    if attempts is None or (type(attempts) is int and 1 <= attempts <= MOST_ATTEMPTS):
        return []
    return [
        checks.Error(
            f"TASKS[{backend.alias!r}]['OPTIONS']['MAX_ATTEMPTS'] is {attempts!r}; it is "
            f"a whole number from 1 to {MOST_ATTEMPTS:,}.",
            id="errands.E005",
        )
    ]


def _database(backend: "DatabaseBackend") -> list[checks.CheckMessage]:
    alias = backend.database_alias
    if alias not in connections:
        return [
            checks.Error(
                f"TASKS[{backend.alias!r}] names the database {alias!r}, which "
                "DATABASES does not define.",
                id="errands.E002",
            )
        ]
    connection = connections[alias]
    if connection.vendor not in DATABASES:
        return [
            checks.Error(
                f"errands has no queue for {connection.vendor!r} (database {alias!r}).",
                hint="Use PostgreSQL 15+, MariaDB 10.11+, MySQL 8.4+ or SQLite 3.37+ "
                "for the tasks.",
                id="errands.E003",
            )
        ]
    mode_of = {"sqlite": _sqlite_mode, "mysql": _mysql_isolation}
    mode = mode_of[connection.vendor](alias) if connection.vendor in mode_of else []
    return [*_autocommit(alias), *mode]


def _autocommit(alias: str) -> list[checks.CheckMessage]:
    if connections[alias].settings_dict.get("AUTOCOMMIT", True):
        return []
    return [
        checks.Error(
            f"Database {alias!r} has AUTOCOMMIT=False: nothing that a worker records "
            "there is ever committed, and it runs the same tasks again and again.",
            hint=f"Leave 'AUTOCOMMIT' out of DATABASES[{alias!r}], or give the tasks an "
            "alias of their own: TASKS[…]['OPTIONS'] = {'DATABASE': alias}.",
            id="errands.E006",
        )
    ]


def _mysql_isolation(alias: str) -> list[checks.CheckMessage]:
    options = connections[alias].settings_dict.get("OPTIONS") or {}
    level = options.get("isolation_level", READ_COMMITTED)
    if str(level).lower() == READ_COMMITTED:
        return []
    return [
        checks.Error(
            f"Database {alias!r} has isolation_level={level!r}: InnoDB then locks the "
            "gaps around the tasks it reads, and workers and web processes end each "
            "other's transactions.",
            hint=f"Leave 'isolation_level' out of DATABASES[{alias!r}]['OPTIONS'], or "
            "give the tasks an alias of their own: "
            "TASKS[…]['OPTIONS'] = {'DATABASE': alias}.",
            id="errands.E004",
        )
    ]


def _sqlite_mode(alias: str) -> list[checks.CheckMessage]:
    options = connections[alias].settings_dict.get("OPTIONS") or {}
    is_immediate = str(options.get("transaction_mode", "")).upper() == "IMMEDIATE"
    is_wal = WAL.search(str(options.get("init_command", "")))
    if is_immediate and is_wal:
        return []
    return [
        checks.Warning(
            f"SQLite database {alias!r} will answer 'database is locked' when a web "
            "process and a worker write at the same time.",
            hint=SQLITE_REMEDY.format(alias=alias),
            id="errands.W001",
        )
    ]
