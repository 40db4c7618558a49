"""Connections that are cut at the server's end, as by its restart."""

from django.db import connection

NUMBER = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
CUT = {"postgresql": "SELECT pg_terminate_backend(%s, 5000)", "mysql": "KILL %s"}
OTHERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist "
    "WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}


def number() -> int:
    """Return the server's number of this thread's connection; 0 where none serves."""
    if connection.vendor not in NUMBER:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(NUMBER[connection.vendor])
        return int(cursor.fetchone()[0])


def cut(*numbers: int) -> None:
    """Cut connections over this thread's; where nothing serves, nothing is to be cut."""
    for each in filter(None, numbers):
        with connection.cursor() as cursor:
            cursor.execute(CUT[connection.vendor], [each])


def others() -> list[int]:
    """Return the connections to this database but for this thread's."""
    if connection.vendor not in OTHERS:
        return []
    with connection.cursor() as cursor:
        cursor.execute(OTHERS[connection.vendor])
        return [row[0] for row in cursor.fetchall()]
