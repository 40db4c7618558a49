"""A site with the apps of one peer, in a database that is its own.

The process that measures a peer writes the variables; workers inherit them.
"""

import json
import os

from psycopg.conninfo import conninfo_to_dict

SECRET_KEY = "bench"  # noqa: S105
USE_TZ = True
ROOT_URLCONF = "bench.settings"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    *json.loads(os.environ.get("ERRANDS_BENCH_APPS", "[]")),
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
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django": {"level": "WARNING"}},
}
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL",
    "timeout": 20,
}


def _database(url: str) -> dict[str, object]:
    if url.startswith("mysql:"):
        return _mysql(url.removeprefix("mysql:"))
    if not url.startswith("postgresql:"):
        engine = "django.db.backends.sqlite3"
        return {"ENGINE": engine, "NAME": url, "OPTIONS": SQLITE_OPTIONS}
    parts = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.get("dbname", ""),
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "CONN_MAX_AGE": None,
    }


def _mysql(name: str) -> dict[str, object]:
    import pymysql

    from tests.servers import mysql

    pymysql.install_as_MySQLdb()
    return mysql.database(name) | {"CONN_MAX_AGE": None}


DATABASES = {"default": _database(os.environ.get("ERRANDS_BENCH_URL", ":memory:"))}
globals().update(json.loads(os.environ.get("ERRANDS_BENCH_SETTINGS", "{}")))

urlpatterns: list[object] = []
