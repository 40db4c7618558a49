"""What ``perform`` returns, and the form in which the run keeps it.

This module can be imported before apps are ready.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from django.utils.functional import Promise

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

type Level = Literal["info", "success", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Download:
    """Offer a result as a file: ``Download("orders.csv")``.

    ``result`` names what was written to ``self.results``; whoever may see the
    run gets it, checked at each click. ``Download(url=…)`` leads to a file
    kept elsewhere (``http`` or ``https``), which errands cannot protect.
    ``file_name`` is what the browser calls the file.
    """

    result: str = ""
    url: str = field(default="", kw_only=True)
    file_name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for name, example in (("result", "orders.csv"), ("url", "https://a.example/b")):
            if not isinstance(given := getattr(self, name), str):
                raise TypeError(
                    f"Download({name}={given!r:.50}): it takes a text, such as "
                    f"{example!r}."
                )


@dataclass(frozen=True, slots=True)
class Page:
    """Show a page, rendered in the worker and kept with the run.

    Without a name the template is ``jobs/<app label>/<job_name>.html``. It is
    rendered in the language of whoever started the job, with ``job``, a
    ``request`` for their host and the site's context processors.
    """

    template: str | None = None
    context: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, kinds, told in (
            ("template", str | list | tuple, "the name of a template"),
            ("context", Mapping, "a dict"),
        ):
            if not isinstance(given := getattr(self, name), kinds | None):
                raise TypeError(f"Page({name}={given!r:.50}): it takes {told}, or None.")


@dataclass(frozen=True, slots=True, init=False)
class Redirect:
    """Lead to a page of this site: ``Redirect("shop:account", account.pk)``.

    Takes what ``django.shortcuts.resolve_url`` takes: an address, the name of
    a URL pattern with its arguments, or an object with ``get_absolute_url()``.
    An address of another host is refused, when the job ends and again when it
    is shown; a name that leads nowhere, when the job ends.
    """

    to: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(hash=False)

    def __init__(self, to: Any, *args: Any, **kwargs: Any) -> None:
        is_named = isinstance(to, str | Promise) or callable(to)
        if not is_named and not hasattr(to, "get_absolute_url"):
            raise TypeError(
                f"Redirect({to!r:.50}): it takes an address, the name of a URL pattern "
                "with its arguments, or an object with get_absolute_url()."
            )
        for name, given in (("to", to), ("args", args), ("kwargs", kwargs)):
            object.__setattr__(self, name, given)


@dataclass(frozen=True, slots=True)
class Message:
    """Say something on the run's page; at most 2,000 characters are kept."""

    text: "_StrOrPromise"
    level: Level = "success"


@dataclass(frozen=True, slots=True)
class JSON:
    """Hand a value to the page's JSON state; at most 64 KiB as text."""

    value: Any


type Outcome = Download | Page | Redirect | Message | JSON
