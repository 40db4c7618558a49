"""From what ``perform`` returned to what the run keeps: one JSON object.

``kind`` says which outcome it was. Everything a view shows of it was checked
here, and what can lead elsewhere is checked again when it is shown.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.urls import NoReverseMatch

from errands.jobs.job import WORD_STARTS, Job
from errands.jobs.outcomes import JSON, Download, Message, Outcome, Page, Redirect
from errands.jobs.site import is_on_site, request_for
from errands.runs.results import clean_file_name
from errands.text import clean_text

MESSAGE_LIMIT = 2_000
ADDRESS_LIMIT = 8_000
JSON_LIMIT = 64 * 1024
LEVELS = ("info", "success", "warning", "error")
PAGE_RESULT = "errands-page.html"

type Kept = dict[str, Any]


def kept(outcome: Outcome | None, job: Job) -> Kept | None:
    """Return an outcome as the run keeps it; a ``Page`` is rendered here.

    Raises ``TypeError`` or ``ValueError``, naming the job and the remedy, for
    anything that is not an outcome or that a page could not show.
    """
    match outcome:
        case None:
            return None
        case Download():
            return _download(outcome, job)
        case Page():
            return _page(outcome, job)
        case Redirect():
            return _redirect(outcome, job)
        case Message():
            return _message(outcome, job)
        case JSON():
            return _json(outcome, job)
    raise TypeError(
        f"{job.path()}.perform returned a {type(outcome).__name__}; it returns None, "
        "Download, Page, Redirect, Message or JSON."
    )


def _download(outcome: Download, job: Job) -> Kept:
    if bool(outcome.result) == bool(outcome.url):
        raise ValueError(
            f"{job.path()} returned {outcome!r}: a Download is of a result or of a url."
        )
    file_name = outcome.file_name and clean_file_name(outcome.file_name)
    if outcome.url:
        if not is_web_address(outcome.url):
            raise ValueError(
                f"{job.path()} returned a Download of {outcome.url[:200]!r}: "
                "its url starts with http:// or https:// and has at most "
                f"{ADDRESS_LIMIT:,} characters."
            )
        return {"kind": "download", "url": outcome.url, "file_name": file_name}
    if outcome.result not in job.results:
        raise ValueError(
            f"{job.path()} returned {outcome!r}, but wrote no such result. "
            f"Written: {', '.join(job.results) or 'none'}."
        )
    return {"kind": "download", "result": outcome.result, "file_name": file_name}


def is_web_address(url: str) -> bool:
    """Return whether a browser that follows the address loads a web page."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if len(url) > ADDRESS_LIMIT or not url.isprintable():
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _page(outcome: Page, job: Job) -> Kept:
    context: Mapping[str, Any] = {"job": job, "run": job.run, **(outcome.context or {})}
    template = outcome.template or default_template(job)
    html = render_to_string(template, context, request=request_for(job))
    job.results.write(PAGE_RESULT, html)
    return {"kind": "page", "result": PAGE_RESULT}


def default_template(job: Job) -> str:
    """Return ``jobs/<app label>/<job_name>.html``."""
    app = apps.get_containing_app_config(type(job).__module__)
    label = app.label if app else type(job).__module__.partition(".")[0]
    name = WORD_STARTS.sub("_", type(job).__name__)
    return f"jobs/{label}/{name.lower()}.html"


def _redirect(outcome: Redirect, job: Job) -> Kept:
    try:
        url = str(resolve_url(outcome.to, *outcome.args, **outcome.kwargs))
    except NoReverseMatch as unknown:
        raise ValueError(
            f"{job.path()} returned {outcome!r:.200}, which leads nowhere: {unknown}"
        ) from unknown
    site = urlsplit(job.base_url)
    if not is_on_site(url, site.netloc, require_https=site.scheme == "https"):
        raise ValueError(
            f"{job.path()} returned a Redirect to {url[:200]!r}, which is not a page "
            "of this site."
        )
    return {"kind": "redirect", "url": url}


def _message(outcome: Message, job: Job) -> Kept:
    if outcome.level not in LEVELS:
        raise ValueError(
            f"{job.path()} returned a Message of level {outcome.level!r}; "
            f"levels are {', '.join(LEVELS)}."
        )
    text = clean_text(outcome.text, MESSAGE_LIMIT)
    return {"kind": "message", "text": text, "level": outcome.level}


def _json(outcome: JSON, job: Job) -> Kept:
    text = json.dumps(outcome.value, cls=DjangoJSONEncoder, allow_nan=False)
    if len(text) > JSON_LIMIT:
        raise ValueError(
            f"{job.path()} returned JSON of {len(text):,} characters; at most "
            f"{JSON_LIMIT:,} are kept. Write it to a result and return a Download."
        )
    return {"kind": "json", "value": json.loads(text)}
