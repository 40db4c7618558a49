"""The JSON state of a run: what the pages, the element and others show of it.

Texts are in the viewer's language. Everything a page shows of a run comes from
here, so that the page and the element cannot disagree.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language, gettext, ngettext

from errands.jobs.access import may_cancel
from errands.jobs.keeping import is_web_address
from errands.jobs.site import is_on_site
from errands.runs.models import Run
from errands.runs.progress import Snapshot, of
from errands.runs.states import ATTEMPTED, IDLE, State

VERSIONS_OF_PROGRESS = 1_000_000

PACE = (
    (timedelta(seconds=5), 500),
    (timedelta(minutes=1), 1_000),
    (timedelta(minutes=10), 2_000),
)
"""Until a run is that old, a page asks again after so many milliseconds."""

SLOWEST_POLL_MS = 5_000

SILENT_AFTER = 30
"""Seconds without news after which a page says so."""

type JSONObject = dict[str, Any]


@dataclass(frozen=True)
class RunState:
    """A run as one request sees it. Reads the run's progress once."""

    run: Run
    request: HttpRequest

    @cached_property
    def progress(self) -> Snapshot:
        """How far the run is."""
        return of(self.run)

    @property
    def version(self) -> int:
        """A number that rises with every change of the run or its progress."""
        return self.run.version * VERSIONS_OF_PROGRESS + self.progress.version

    @property
    def etag(self) -> str:
        """What the state depends on, besides the run's words in the code."""
        told = f"{self.version}-{get_language()}-{self.poll_after_ms}"
        shown = f"{told}-{self.silence}"
        return f'"{shown}-expired"' if self.run.is_expired else f'"{shown}"'

    @property
    def poll_after_ms(self) -> int | None:
        """When to ask again: soon for a young run, never for an ended one."""
        run = self.run
        if run.is_finished:
            return None
        age = timezone.now() - (run.started_at or run.created_at)
        return next((pause for limit, pause in PACE if age < limit), SLOWEST_POLL_MS)

    @property
    def status(self) -> str:
        """What is being done: the job's words, or those it was started with."""
        run = self.run
        if run.state in IDLE and run.status:
            return run.status
        return self.progress.status or run.status

    @property
    def silence(self) -> int:
        """Seconds without news of an attempt, in tens; 0 for less than 30.

        Its worker may be gone and not yet missed, or it may be busy with
        something long. The page cannot tell, so it says what it knows.
        """
        run = self.run
        if run.state not in ATTEMPTED or run.started_at is None:
            return 0
        news_at = max(run.started_at, self.progress.updated_at or run.started_at)
        seconds = int((timezone.now() - news_at).total_seconds())
        return seconds // 10 * 10 if seconds >= SILENT_AFTER else 0

    @property
    def attempt_text(self) -> str:
        """Why a bar starts over, or stands still; mostly empty."""
        run = self.run
        if run.is_finished:
            return ""
        if run.is_interrupted:
            return gettext("Interrupted; it goes on in a moment")
        if self.silence:
            return _silence_text(self.silence)
        if run.attempt < 2:
            return ""
        return gettext("Attempt %(number)d") % {"number": run.attempt}

    @property
    def page_title(self) -> str:
        """What a browser's tab says: ``24% · Account report``."""
        percent = self.progress.percent
        lead = "" if percent is None else gettext("%(percent)d%%") % {"percent": percent}
        if self.run.is_finished:
            lead = self.run.get_state_display()
        return " · ".join(filter(None, [lead, self.run.title]))

    @property
    def spoken(self) -> str:
        """What a screen reader says when it changes.

        It does at the start, with each status and step, at each quarter, and
        at the end; not with each count.
        """
        words: list[str | None] = [self.run.get_state_display()]
        if self.run.is_finished:
            for ending in (self.result, self.error):
                words += [ending.get("text"), ending.get("message")] if ending else []
        else:
            quarter = (self.progress.percent or 0) // 25 * 25
            shown = gettext("%(percent)d%%") % {"percent": quarter} if quarter else ""
            words += [self.progress.step, self.status, shown]
        return ". ".join(filter(None, words))

    @cached_property
    def result(self) -> JSONObject | None:
        """What came of a run that succeeded."""
        kept = json.loads(self.run.outcome or "null")
        if self.run.state != State.SUCCEEDED or kept is None:
            return None
        match kept["kind"]:
            case "download" if "url" in kept:
                return _elsewhere(kept)
            case "download":
                return self._stored(kept)
            case "page":
                return self._stored(kept)
            case "redirect":
                return self._redirect(kept)
        return dict(kept)

    @property
    def error(self) -> JSONObject | None:
        """What the owner may know of a failure."""
        run = self.run
        if run.state != State.FAILED:
            return None
        return {"message": run.error_message, "reference": run.error_reference}

    @property
    def actions(self) -> JSONObject:
        """What this viewer can do now; None for what only others can."""
        url = reverse("errands:cancel", args=[self.run.pk])
        is_open = not self.run.is_finished and self.run.state != State.CANCELLING
        allowed = is_open and may_cancel(self.request.user, self.run)
        return {"cancel": {"method": "POST", "url": url} if allowed else None}

    @property
    def links(self) -> JSONObject:
        """Where the run can be seen."""
        pk = [self.run.pk]
        is_file = self.result is not None and self.result["kind"] == "download"
        return {
            "page": reverse("errands:run", args=pk),
            "download": self.result["url"] if self.result and is_file else None,
            "events": reverse("errands:events", args=pk)
            if isinstance(self.request, ASGIRequest)
            else None,
        }

    def as_json(self) -> JSONObject:
        """Return the whole state."""
        run, progress = self.run, self.progress
        return {
            "id": str(run.pk),
            "version": self.version,
            "created_at": _iso(run.created_at),
            "started_at": _iso(run.started_at),
            "finished_at": _iso(run.finished_at),
            "state": run.state,
            "state_label": run.get_state_display(),
            "title": run.title,
            "status": self.status,
            "progress": {
                "current": progress.current,
                "total": progress.total,
                "failed": progress.failed,
                "failed_text": _failed_text(progress.failed),
                "percent": progress.percent,
                "text": progress.text,
                "eta_seconds": None if self.silence else progress.eta_seconds,
                "eta_text": "" if self.silence else progress.eta_text,
            },
            "step": progress.step,
            "pieces": None,
            "log": progress.log,
            "attempt": run.attempt,
            "attempt_text": self.attempt_text,
            "page_title": self.page_title,
            "spoken": self.spoken,
            "result": self.result,
            "error": self.error,
            "expires_at": _iso(run.expires_at),
            "actions": self.actions,
            "links": self.links,
            "poll_after_ms": self.poll_after_ms,
        }

    def _stored(self, kept: JSONObject) -> JSONObject:
        row = None if self.run.is_expired else self.run.results.get(kept["result"])
        if row is None:
            text = gettext("The result is no longer available.")
            return {"kind": "expired", "text": text}
        if kept["kind"] == "page":
            url = reverse("errands:page", args=[self.run.pk])
            text = gettext("Open the page")
            return {"kind": "page", "url": url, "text": text} | self._until
        name = kept["file_name"] or row.file_name
        return {
            "kind": "download",
            "result": row.name,
            "name": name,
            "size": row.size,
            "size_text": filesizeformat(row.size),
            "content_type": row.content_type,
            "url": reverse("errands:result", args=[self.run.pk, row.name]),
            "text": gettext("Download %(name)s") % {"name": name},
        } | self._until

    @property
    def _until(self) -> JSONObject:
        expires_at = self.run.expires_at
        if expires_at is None:
            return {"until_text": ""}
        if timezone.is_aware(expires_at):
            expires_at = timezone.localtime(expires_at)
        day = date_format(expires_at, "DATE_FORMAT")
        return {"until_text": gettext("Available until %(day)s") % {"day": day}}

    def _redirect(self, kept: JSONObject) -> JSONObject | None:
        """Return a redirect that leads to this site as it is reached now."""
        hosts = self.request.get_host(), urlsplit(self.run.base_url).netloc
        if not is_on_site(kept["url"], *hosts, require_https=self.request.is_secure()):
            return None
        return {"kind": "redirect", "url": kept["url"], "text": gettext("Continue")}


def _elsewhere(kept: JSONObject) -> JSONObject | None:
    """Return a download that is kept outside, of which only the address is known."""
    if not is_web_address(kept["url"]):
        return None
    name = kept["file_name"] or gettext("the file")
    return {
        "kind": "download",
        "name": name,
        "size": None,
        "size_text": "",
        "content_type": None,
        "url": kept["url"],
        "text": gettext("Download %(name)s") % {"name": name},
    }


def _failed_text(failed: int) -> str:
    if not failed:
        return ""
    return ngettext("%(count)d failed", "%(count)d failed", failed) % {"count": failed}


def _silence_text(seconds: int) -> str:
    if seconds < 60:
        return gettext("No news for %(seconds)d seconds") % {"seconds": seconds}
    minutes = seconds // 60
    text = ngettext(
        "No news for %(minutes)d minute", "No news for %(minutes)d minutes", minutes
    )
    return text % {"minutes": minutes}


def _iso(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
