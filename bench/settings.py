"""A site with our queue and the peers', on one PostgreSQL or in one SQLite file."""

import os

from tests.servers import postgresql

SECRET_KEY = "bench"  # noqa: S105
USE_TZ = True
ROOT_URLCONF = "bench.urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "errands",
    "django_tasks_db",
    "bench",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
STATIC_URL = "static/"
DATABASES = {
    "default": postgresql.database(os.environ.get("ERRANDS_BENCH_DATABASE", "postgres"))
    | {"CONN_MAX_AGE": None}
}
TASKS = {
    "default": {"BACKEND": "errands.queue.DatabaseBackend"},
    "django-tasks-db": {"BACKEND": "django_tasks_db.DatabaseBackend"},
}
