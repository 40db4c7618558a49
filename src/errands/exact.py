"""Texts that are equal only where every character is.

PostgreSQL and SQLite compare so by themselves. MySQL and MariaDB take ``a``,
``A``, ``á`` and ``a␣`` for one and the same unless a column is told otherwise,
and two queues, keys or paths would be taken for one.
"""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

MARIADB, MYSQL = "utf8mb4_nopad_bin", "utf8mb4_0900_bin"


class ExactField(models.CharField):
    """A ``CharField`` with a collation that makes nothing equal, where need be."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the column's type, and its collation on MySQL and MariaDB."""
        parameters: dict[str, Any] = dict(super().db_parameters(connection))
        if connection.vendor == "mysql":
            is_mariadb = getattr(connection, "mysql_is_mariadb", False)
            parameters["collation"] = MARIADB if is_mariadb else MYSQL
        return parameters
