"""Settings of the demo site.

Nothing here needs a service: one SQLite file holds the flights, the accounts
and the queue. The environment may change what the tests change:

    DEMO_DATA         where the database, uploads and results are kept
    DEMO_PACE         seconds a quick job is stretched to, so that it can be watched
    DEMO_PARTNER_URL  where the partner's server listens (serve.py says where)
"""

import os
from pathlib import Path

from django.utils.csp import CSP

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DEMO_DATA", BASE_DIR / ".data"))
DATA_DIR.mkdir(parents=True, exist_ok=True)

DEMO_PACE = float(os.environ.get("DEMO_PACE", "6"))
"""Exporting 58,665 flights takes less than a second, too short to see how the
page follows. The demo pauses between batches until about this many seconds are
used up. 0 turns it off; no errands site needs it."""

DEMO_PARTNER_URL = os.environ.get("DEMO_PARTNER_URL", "http://127.0.0.1:8799")
DEMO_USERS = {"ada": ("Ada", "Lovelace"), "grace": ("Grace", "Hopper")}
DEMO_PASSWORD = "demo"

SECRET_KEY = "everybody-may-know-this-it-is-a-demo"
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "flights",  # before errands, whose base template it replaces
    "errands",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "flightsite.urls"
WSGI_APPLICATION = "flightsite.wsgi.application"
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

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "flights.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL",
            "timeout": 20,
        },
    },
}
TASKS = {"default": {"BACKEND": "errands.queue.DatabaseBackend", "QUEUES": []}}
# serve.py starts the worker itself.
ERRANDS = {"RUNSERVER_WORKER": False}

LOGIN_URL = "flights:login"
LOGIN_REDIRECT_URL = "flights:home"
LOGOUT_REDIRECT_URL = "flights:home"
SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}

LANGUAGE_CODE = "en"
TIME_ZONE = "America/New_York"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True

STATIC_URL = "static/"
MEDIA_ROOT = DATA_DIR / "files"
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "django.server": {"level": "ERROR"},
        "django.tasks": {"level": "WARNING"},
    },
}
