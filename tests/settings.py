"""The site under test.

ERRANDS_TEST_DATABASE chooses its database: ``sqlite`` (a real file, set up
as the documentation demands), ``postgresql`` or ``mysql``. A process that a test starts
inherits ERRANDS_TEST_DIRECTORY and ERRANDS_TEST_DATABASE_NAME, and so works
in the same files and the same test database.
"""

import os
import tempfile
from pathlib import Path

from tests.servers import postgresql


def _sqlite() -> dict[str, object]:
    name = os.environ.get("ERRANDS_TEST_DATABASE_NAME", DIRECTORY / "db.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            "timeout": 20,
        },
        "TEST": {"NAME": name},
    }


def _postgresql() -> dict[str, object]:
    test_name = f"test_errands_{os.getpid()}"
    name = os.environ.get("ERRANDS_TEST_DATABASE_NAME", "postgres")
    return postgresql.database(name) | {"TEST": {"NAME": test_name}}


def _mysql() -> dict[str, object]:
    import pymysql

    from tests.servers import mysql

    pymysql.install_as_MySQLdb()
    test_name = f"test_errands_{os.getpid()}"
    name = os.environ.get("ERRANDS_TEST_DATABASE_NAME", "mysql")
    test = {"NAME": test_name, "CHARSET": "utf8mb4"}
    return mysql.database(name) | {"TEST": test}


# The run of the tests makes it, and deletes it when it ends.
DIRECTORY = Path(
    os.environ.setdefault(
        "ERRANDS_TEST_DIRECTORY",
        str(Path(tempfile.gettempdir(), f"errands-tests-{os.getpid()}")),
    )
)
DATABASE = os.environ.get("ERRANDS_TEST_DATABASE", "sqlite")
KINDS = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}
DATABASES = {"default": KINDS[DATABASE]()}

SECRET_KEY = "tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "errands",
    "tests.testapp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

TASKS = {
    "default": {"BACKEND": "errands.queue.DatabaseBackend", "QUEUES": []},
    "immediate": {
        "BACKEND": "django.tasks.backends.immediate.ImmediateBackend",
        "QUEUES": [],
    },
    "dummy": {"BACKEND": "django.tasks.backends.dummy.DummyBackend", "QUEUES": []},
}

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
MEDIA_ROOT = DIRECTORY / "media"
STATIC_URL = "static/"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
TIME_ZONE = "Europe/Vienna"
USE_TZ = True

# Fast, and only good for tests.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
