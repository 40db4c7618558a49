"""System checks of what makes a queue fail in production."""

import difflib
from typing import TYPE_CHECKING

from django.core import checks
from django.db import connections

if TYPE_CHECKING:
    from errands.queue.backend import DatabaseBackend

SQLITE_REMEDY = (
    "Set DATABASES['{alias}']['OPTIONS'] = {{'transaction_mode': 'IMMEDIATE', "
    "'init_command': 'PRAGMA journal_mode=WAL'}}."
)


def check_backend(
    backend: "DatabaseBackend", *, known_options: tuple[str, ...]
) -> list[checks.CheckMessage]:
    """Return what is wrong with a backend's options and its database."""
    return [*_unknown_options(backend, known_options), *_database(backend)]


def _unknown_options(
    backend: "DatabaseBackend", known: tuple[str, ...]
) -> list[checks.CheckMessage]:
    messages: list[checks.CheckMessage] = []
    for name in backend.options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {known}."
            text = f"Unknown option {name!r} for TASKS[{backend.alias!r}]. {hint}"
            messages.append(checks.Error(text, id="errands.E001"))
    return messages


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
    if connection.vendor not in {"postgresql", "sqlite"}:
        return [
            checks.Error(
                f"errands has no queue for {connection.vendor!r} (database {alias!r}).",
                hint="Use PostgreSQL 15+ or SQLite 3.37+ for the tasks.",
                id="errands.E003",
            )
        ]
    return _sqlite_mode(alias) if connection.vendor == "sqlite" else []


def _sqlite_mode(alias: str) -> list[checks.CheckMessage]:
    options = connections[alias].settings_dict.get("OPTIONS") or {}
    is_immediate = str(options.get("transaction_mode", "")).upper() == "IMMEDIATE"
    is_wal = "journal_mode=wal" in str(options.get("init_command", "")).lower()
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
