"""The database under the queue: does it keep what it says, and let workers pass?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.transaction import atomic

from errands.doctor.findings import Finding, error, missing_migrations, ok, warning
from errands.queue.checks import READ_COMMITTED, SQLITE_REMEDY
from errands.queue.models import ResultRow, TaskRow
from errands.queue.statements import statements_for
from errands.text import clean_line, counted

MOST_SKEW = timedelta(seconds=1)
FILE = "SELECT file FROM pragma_database_list WHERE name = 'main'"
LONG_TRANSACTION = timedelta(minutes=5)
MANY_DEAD_ROWS = 100_000
CLOCKS = {
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
}
LEVELS = {
    "postgresql": "SHOW transaction_isolation",
    "mysql": "SHOW VARIABLES WHERE variable_name IN "
    "('transaction_isolation', 'tx_isolation')",
}
SYNCHRONOUS = (
    "SELECT CASE synchronous WHEN 0 THEN 'off' WHEN 1 THEN 'normal' "
    "WHEN 2 THEN 'full' ELSE 'extra' END FROM pragma_synchronous"
)
DURABLE = {
    "postgresql": (
        ("fsync", "SHOW fsync", ["on"]),
        (
            "synchronous_commit",
            "SHOW synchronous_commit",
            ["on", "remote_write", "remote_apply", "local"],
        ),
    ),
    "mysql": (
        (
            "innodb_flush_log_at_trx_commit",
            "SELECT @@innodb_flush_log_at_trx_commit",
            ["1"],
        ),
    ),
    # In WAL mode NORMAL keeps the file whole, and not the last commits.
    "sqlite": (
        (
            "synchronous",
            SYNCHRONOUS,
            ["full", "extra"],
        ),
    ),
}
"""Settings that decide it, how to ask for them, and what is safe: the default first."""

LEVEL_IN_OPTIONS = (
    "Leave 'isolation_level' out of DATABASES['{alias}']['OPTIONS'], or give the queue a "
    "database alias of its own."
)


def migrations(alias: str) -> Iterator[Finding]:
    """Look for migrations of errands that have not been applied."""
    missing = missing_migrations(alias)
    server = f"{connections[alias].display_name} {version(alias)}"
    if missing:
        yield error(
            f"Database {alias!r} ({server}) lacks "
            f"{counted(missing, 'migration')} of errands.",
            f"Run manage.py migrate --database {alias}; what needs them was not looked "
            "at.",
        )
    else:
        yield ok(f"Database {alias!r} ({server}) is migrated.")


def clock(alias: str) -> Iterator[Finding]:
    """Compare this host's clock with the database's."""
    vendor = connections[alias].vendor
    if vendor not in CLOCKS:
        return
    before = datetime.now(UTC)
    told = _value(alias, CLOCKS[vendor])
    after = datetime.now(UTC)
    theirs = statements_for(connections[alias]).instant(told)
    skew = max(before - theirs, theirs - after, timedelta())  # type: ignore[operator]
    if skew > MOST_SKEW:
        yield error(
            f"This host's clock and that of {alias!r} are {skew.total_seconds():.1f} s "
            "apart: tasks with run_after start early or late by as much.",
            "Let both follow a time server (chrony, systemd-timesyncd).",
        )
    else:
        yield ok(f"This host's clock agrees with that of {alias!r}.")


def isolation(alias: str) -> Iterator[Finding]:
    """Look for an isolation level that makes claims wait or fail.

    ``OPTIONS`` decide about PostgreSQL's transactions only; a statement outside
    of one, as claims are, has the level that the server gives the session.
    """
    vendor = connections[alias].vendor
    if vendor not in LEVELS:
        return
    found = {_level(alias): _remedy_of_session(alias)}
    with atomic(using=alias):
        found.setdefault(_level(alias), LEVEL_IN_OPTIONS.format(alias=alias))
    wrong = [level for level in found if level != READ_COMMITTED]
    for level in wrong:
        yield error(
            f"Database {alias!r} works in {level.upper()}: claims of several workers "
            "collide, and are tried again and again.",
            found[level],
        )
    if not wrong:
        yield ok(f"Database {alias!r} works in READ COMMITTED.")


def _level(alias: str) -> str:
    level = _value(alias, LEVELS[connections[alias].vendor])
    return str(level).replace("-", " ").lower()


def _remedy_of_session(alias: str) -> str:
    """Return how to change the isolation level that sessions begin with."""
    if connections[alias].vendor != "postgresql":
        return LEVEL_IN_OPTIONS.format(alias=alias)
    source, database, role = _row(
        alias,
        "SELECT source, quote_ident(current_database()), quote_ident(session_user) "
        "FROM pg_settings WHERE name = 'default_transaction_isolation'",
    )
    if source == "client":
        return (
            "Leave 'default_transaction_isolation' out of "
            f"DATABASES[{alias!r}]['OPTIONS'] and out of PGOPTIONS."
        )
    whose = {
        "user": f"ROLE {role}",
        "database user": f"ROLE {role} IN DATABASE {database}",
    }.get(source, f"DATABASE {database}")
    return (
        f"ALTER {whose} SET default_transaction_isolation = 'read committed'; "
        "then start web processes and workers anew."
    )


def durability(alias: str) -> Iterator[Finding]:
    """Look for settings under which an acknowledged task can be lost."""
    for name, question, safe in DURABLE[connections[alias].vendor]:
        value = str(_value(alias, question)).lower()
        if value in safe:
            yield ok(f"Database {alias!r} keeps what it has committed ({name}={value}).")
        else:
            yield warning(
                f"Database {alias!r} has {name}={value}: a crash of its host may lose "
                "tasks that enqueue() has confirmed.",
                f"Set {name} back to its default, {safe[0]}, or accept that.",
            )


def transactions(alias: str) -> Iterator[Finding]:
    """Look for a transaction that keeps PostgreSQL from tidying up."""
    if connections[alias].vendor != "postgresql":
        return
    seconds, pid = _row(
        alias,
        "SELECT extract(epoch FROM max(clock_timestamp() - xact_start)), "
        "(array_agg(pid ORDER BY xact_start))[1] FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_xmin IS NOT NULL",
    )
    if seconds is not None and seconds > LONG_TRANSACTION.total_seconds():
        yield warning(
            f"A transaction (pid {pid}) is open for {seconds / 60:.0f} minutes; rows "
            "that workers have finished meanwhile cannot be removed, and claims slow "
            "down.",
            "Find out whose it is (pg_stat_activity); consider "
            "idle_in_transaction_session_timeout.",
        )
    dead = _value(
        alias,
        "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'errands_task'",
    )
    if (dead or 0) > MANY_DEAD_ROWS:
        yield warning(
            f"errands_task has {dead:,} dead rows: autovacuum does not keep up.",
            "Look for long transactions and at autovacuum_max_workers; VACUUM "
            "errands_task by hand once.",
        )


def writing(alias: str) -> Iterator[Finding]:
    """Look whether this user may write to the queue, and this server takes it."""
    if missing_migrations(alias):
        return
    try:
        with atomic(using=alias), connections[alias].cursor() as cursor:
            for model in (TaskRow, ResultRow):
                cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE 1 = 0")  # noqa: S608
    except Error as refused:
        if str(refused) == "database is locked":
            return  # Somebody else writes to this SQLite file right now.
        yield error(
            f"Nothing can be written to the queue in {alias!r}: {clean_line(refused)}",
            f"Give the user of DATABASES[{alias!r}] SELECT, INSERT, UPDATE and DELETE on "
            "the tables of errands, and let it be no replica.",
        )


def connection_reuse(alias: str) -> Iterator[Finding]:
    """Look for connections that are kept without being checked."""
    configured = connections[alias].settings_dict
    if configured["CONN_MAX_AGE"] != 0 and not configured["CONN_HEALTH_CHECKS"]:
        yield warning(
            f"Database {alias!r} keeps connections (CONN_MAX_AGE) without checking them: "
            "after a restart of the database the first requests fail.",
            f"Set DATABASES[{alias!r}]['CONN_HEALTH_CHECKS'] = True.",
        )


def own_database(alias: str) -> Iterator[Finding]:
    """Say what a queue in another database cannot promise."""
    if alias != DEFAULT_DB_ALIAS:
        yield warning(
            f"The queue is in {alias!r}, the site's data in {DEFAULT_DB_ALIAS!r}: a task "
            "enqueued in a transaction that rolls back exists all the same.",
            "Call enqueue_on_commit(), or keep the queue in the site's database.",
        )


def sqlite_mode(alias: str) -> Iterator[Finding]:
    """Look whether several processes can write to the file."""
    connection = connections[alias]
    if connection.vendor != "sqlite":
        return
    journal = str(_value(alias, "PRAGMA journal_mode")).lower()
    mode = str(getattr(connection, "transaction_mode", "") or "").upper()
    if (journal, mode) == ("wal", "IMMEDIATE"):
        yield ok(f"SQLite database {alias!r} is in WAL mode and locks at once.")
    elif not _value(alias, FILE):
        yield error(
            f"SQLite database {alias!r} is in the memory of this process: no worker "
            "sees its tasks.",
            f"Name a file in DATABASES[{alias!r}]['NAME'].",
        )
    else:
        yield error(
            f"SQLite database {alias!r} has journal_mode={journal} and "
            f"transaction_mode={mode or 'DEFERRED'}: processes that write at the same "
            "time get 'database is locked'.",
            SQLITE_REMEDY.format(alias=alias),
        )


EXAMINATIONS = [
    migrations,
    writing,
    clock,
    isolation,
    durability,
    sqlite_mode,
    transactions,
]
OF_SETTINGS = [own_database, connection_reuse]
"""What is known without asking the database."""

OF_RUNS = [migrations]
"""What is asked about the database of the runs of jobs, where no queue is."""


def version(alias: str) -> str:
    """Return the server's version as people write it."""
    numbers = connections[alias].get_database_version()
    return ".".join(str(number) for number in numbers)


def _value(alias: str, sql: str) -> Any:
    row = _row(alias, sql)
    return row[-1] if row else None


def _row(alias: str, sql: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()
