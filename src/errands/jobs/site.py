"""The site as the worker sees it: its address, and a request rebuilt from it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.urls import (
    NoReverseMatch,
    get_script_prefix,
    get_urlconf,
    reverse,
    set_script_prefix,
)
from django.utils.http import url_has_allowed_host_and_scheme

if TYPE_CHECKING:
    from errands.jobs.job import Job

DEFAULT_PORTS = {"http": 80, "https": 443}
MISSING_PAGES = "The URLconf {urlconf!r} does not include the pages of jobs."
LINE_TO_ADD = 'Add path("jobs/", include("errands.urls")) to its urlpatterns.'


def required_base_url(job: "Job") -> str:
    """Return the job's base URL; without one, say where it comes from."""
    if not job.base_url:
        raise ImproperlyConfigured(
            f"{job.path()} needs the address of the site, and was started without a "
            'request. Set ERRANDS["BASE_URL"], such as "https://example.com".'
        )
    return job.base_url


def check_pages() -> None:
    """Raise ``ImproperlyConfigured`` where a run has no page to lead to."""
    if not has_pages():
        urlconf = get_urlconf() or django_settings.ROOT_URLCONF
        told = MISSING_PAGES.format(urlconf=urlconf)
        raise ImproperlyConfigured(f"{told} {LINE_TO_ADD}")


def has_pages() -> bool:
    """Return whether the URLconf that answers here includes ``errands.urls``."""
    try:
        reverse("errands:runs")
    except NoReverseMatch:
        return False
    return True


@contextmanager
def mounted_at(base_url: str) -> Iterator[None]:
    """Let ``reverse`` answer as it does in requests to that address.

    A site mounted below a path has it in its base URL.
    """
    before = get_script_prefix()
    if base_url:
        set_script_prefix(urlsplit(base_url).path or "/")
    try:
        yield
    finally:
        set_script_prefix(before)


def request_for(job: "Job") -> WSGIRequest:
    """Rebuild a request for the run's page, as its owner would send it.

    It has the owner's user, an empty session, and the scheme and host the run
    was started with; of cookies and headers it has none.
    """
    address = urlsplit(required_base_url(job))
    mount = address.path.rstrip("/")
    request = WSGIRequest(
        {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": mount,
            "PATH_INFO": job.run.get_absolute_url().removeprefix(mount),
            "QUERY_STRING": "",
            "SERVER_NAME": address.hostname or "",
            "SERVER_PORT": str(address.port or DEFAULT_PORTS.get(address.scheme, 80)),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": address.netloc,
            "HTTP_ACCEPT_LANGUAGE": job.language,
            "REMOTE_ADDR": "",
            "wsgi.url_scheme": address.scheme,
            "wsgi.input": io.BytesIO(),
        }
    )
    request.user = job.owner or AnonymousUser()
    request.session = SessionBase()
    request.LANGUAGE_CODE = job.language
    return request


def is_on_site(url: str, *hosts: str, require_https: bool = False) -> bool:
    """Return whether an address leads to a path of the site or of its hosts.

    Refuses what a browser might read as another host or as a script:
    ``//evil``, ``/\\evil``, ``javascript:``, and anything with a line break.
    """
    return url.isprintable() and url_has_allowed_host_and_scheme(
        url, allowed_hosts=set(filter(None, hosts)), require_https=require_https
    )
