"""Give MariaDB and MySQL rows to lock, which stand for concurrency keys.

PostgreSQL has advisory locks that end with the transaction, and SQLite one
lock for everything; here a row has to be there to be locked. Rows are added
where one is missing, so nothing depends on this table being complete.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

ROWS = 1024


def make_locks(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the table and its rows; a run that was cut off may be repeated."""
    if schema_editor.connection.vendor != "mysql":
        return
    schema_editor.execute(
        "CREATE TABLE IF NOT EXISTS errands_lock "
        "(number smallint unsigned NOT NULL PRIMARY KEY) ENGINE = InnoDB"
    )
    numbers = ", ".join(f"({number})" for number in range(ROWS))
    schema_editor.execute(f"INSERT IGNORE INTO errands_lock (number) VALUES {numbers}")


def drop_locks(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the table."""
    if schema_editor.connection.vendor == "mysql":
        schema_editor.execute("DROP TABLE IF EXISTS errands_lock")


class Migration(migrations.Migration):
    """The locks lie in the database of the tasks, wherever a router puts them."""

    atomic = False  # MySQL makes no table inside a transaction.
    dependencies = [("errands", "0003_tidy_sooner")]
    operations = [
        migrations.RunPython(
            make_locks, drop_locks, hints={"model_name": "taskrow"}, elidable=False
        )
    ]
