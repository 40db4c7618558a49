"""django-tasks-db: the reference backend of ``django.tasks``."""

from typing import ClassVar

from bench.peers.django_site import PERSISTENT, DjangoPeer
from bench.peers.peer import python


class DjangoTasksDb(DjangoPeer):
    """Has no bulk enqueue; its worker is one process with one thread."""

    name = "django-tasks-db"
    engines = ("postgresql", "sqlite")
    fair: ClassVar = (
        "`db_worker --interval 0.1 --no-startup-delay` (its default polls each 1 s), "
        f"one command per process, one task at a time; {PERSISTENT}; results kept; "
        "no bulk enqueue, so one by one"
    )
    apps = ("django_tasks_db",)
    django_settings = {
        "TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    }
    is_bulk = False
    drained = 1_000
    tables = ("django_tasks_database_dbtaskresult",)
    open_tasks = (
        "SELECT count(*) FROM django_tasks_database_dbtaskresult "
        "WHERE status IN ('READY', 'RUNNING')"
    )

    def workers(self, processes: int) -> list[list[str]]:
        """One command per process."""
        polling = ("--interval", "0.1", "--no-startup-delay")
        return [python("-m", "django", "db_worker", *polling)] * processes
