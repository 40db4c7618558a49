"""Tell PostgreSQL to tidy up the queue's tables sooner than others.

Every task that ends leaves dead rows behind, and a claim walks over those that
are not gone yet. The defaults wait until a fifth of the table is dead; a queue
whose table is nearly empty most of the time needs another measure.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SETTINGS = {
    "errands_task": (
        "fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, "
        "autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05, "
        "autovacuum_vacuum_cost_delay = 1, autovacuum_vacuum_cost_limit = 2000"
    ),
    "errands_result": (
        "autovacuum_vacuum_insert_scale_factor = 0.1, "
        "autovacuum_vacuum_scale_factor = 0.05"
    ),
}
NAMES = {
    table: ", ".join(setting.split(" = ")[0] for setting in settings.split(", "))
    for table, settings in SETTINGS.items()
}


def tidy_sooner(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Set the storage parameters."""
    if schema_editor.connection.vendor == "postgresql":
        for table, settings in SETTINGS.items():
            schema_editor.execute(f"ALTER TABLE {table} SET ({settings})")


def tidy_as_others(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Return to the server's own."""
    if schema_editor.connection.vendor == "postgresql":
        for table, names in NAMES.items():
            schema_editor.execute(f"ALTER TABLE {table} RESET ({names})")


class Migration(migrations.Migration):
    """Storage parameters of the queue's tables."""

    dependencies = [("errands", "0002_queue_depth")]
    operations = [
        migrations.RunPython(
            tidy_sooner, tidy_as_others, hints={"model_name": "taskrow"}, elidable=False
        )
    ]
