"""Every answer about a run is for one person and kept by nobody."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http.response import HttpResponseBase

HEADERS = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

type View = Callable[..., HttpResponseBase]


def private(view: View) -> View:
    """Set the headers of a private answer on what the view returns."""

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> HttpResponseBase:
        return sealed(view(*args, **kwargs))

    return answer


def sealed[R: HttpResponseBase](response: R) -> R:
    """Set the headers of a private answer."""
    for name, value in HEADERS.items():
        response[name] = value
    return response
