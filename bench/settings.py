"""A site with our queue and the peers', on one PostgreSQL."""

import os

from tests.servers import postgresql

SECRET_KEY = "bench"  # noqa: S105
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "errands",
    "django_tasks_db",
    "bench",
]
DATABASES = {
    "default": postgresql.database(os.environ.get("ERRANDS_BENCH_DATABASE", "postgres"))
    | {"CONN_MAX_AGE": None}
}
TASKS = {
    "default": {"BACKEND": "errands.queue.DatabaseBackend"},
    "django-tasks-db": {"BACKEND": "django_tasks_db.DatabaseBackend"},
}
