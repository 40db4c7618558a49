"""System checks of the site's settings."""

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.core.files.storage.handler import InvalidStorageError

from errands.conf import settings


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check ``ERRANDS``: its keys, its types and the storage it names."""
    try:
        storage = settings().storage
        storages[storage]
    except InvalidStorageError:
        text = f"ERRANDS['STORAGE'] names {storage!r}, which STORAGES does not define."
        return [Error(text, id="errands.E011")]
    except ImproperlyConfigured as wrong:
        return [Error(str(wrong), id="errands.E010")]
    return []
