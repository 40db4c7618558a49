"""How many commits a database has seen, as the database itself counts."""

import struct
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bench.peers.peer import Place
from tests.servers import mysql

COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"

# The index of a write-ahead log counts the transactions in its third word.
WAL_INDEX_CHANGES = struct.Struct("=8xI")


def rounds_made(place: Place) -> int:
    """Return a counter: commits, or on Redis commands of all its clients.

    On PostgreSQL a statement outside a transaction counts as one, reads
    included; on SQLite only writes count, on MariaDB every statement.
    """
    count = {
        "postgresql": _postgresql,
        "sqlite": _sqlite,
        "mysql": _mysql,
        "redis": _redis,
    }[place.engine]
    return count(place.url)


def _postgresql(url: str) -> int:
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(make_conninfo(url, dbname="postgres")) as connection:
        row = connection.execute(COMMITS, [name]).fetchone()
    return int(row[0]) if row else 0


def _sqlite(path: str) -> int:
    """Sum over the database and what lies beside it.

    Read by another process: where ours closes such a file, it loses the locks
    that its own connection holds on it.
    """
    file = Path(path)
    return sum(map(_changes, file.parent.glob(f"{file.name}*-shm")))


def _changes(index: Path) -> int:
    read = "import pathlib, sys; sys.stdout.buffer.write(pathlib.Path(sys.argv[1])"
    read += ".read_bytes()[:12])"
    header = subprocess.check_output([sys.executable, "-c", read, str(index)])
    changes: int = WAL_INDEX_CHANGES.unpack_from(header)[0]
    return changes


def _mysql(url: str) -> int:
    del url
    with mysql.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        row = cursor.fetchone()
    return int(row[1]) if row else 0


def _redis(url: str) -> int:
    import redis

    with redis.Redis.from_url(url) as client:
        return int(client.info("stats")["total_commands_processed"])
