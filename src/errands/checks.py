"""System checks of the site's settings, and those of its jobs."""

from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages

from errands.conf import settings
from errands.jobs.checks import check_jobs
from errands.text import clean_line

register(check_jobs)


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check ``ERRANDS``: its keys, its values and the storage it names."""
    try:
        alias = settings().storage
    except ImproperlyConfigured as wrong:
        return [Error(str(wrong), id="errands.E010")]
    return [*_storage(alias), *_admins()]


def _admins() -> list[CheckMessage]:
    if django_settings.ADMINS or not settings().mail_failures:
        return []
    return [
        Warning(
            "ERRANDS['MAIL_FAILURES'] is True and ADMINS is empty: nobody is mailed.",
            hint="Name in ADMINS who is to hear of failures, or leave MAIL_FAILURES out.",
            id="errands.W002",
        )
    ]


def _storage(alias: str) -> list[CheckMessage]:
    if alias not in storages.backends:
        text = f"ERRANDS['STORAGE'] names {alias!r}, which STORAGES does not define."
        return [Error(text, id="errands.E011")]
    try:
        storages[alias]
    except Exception as failed:  # noqa: BLE001 - a storage may raise anything
        text = (
            f"ERRANDS['STORAGE'] names {alias!r}, which cannot be used: "
            f"{type(failed).__name__}: {clean_line(failed)}"
        )
        hint = f"Look at STORAGES[{alias!r}]."
        return [Error(text, hint=hint, id="errands.E011")]
    return []
