"""Lazy translations, carried as what was to be translated.

The worker translates again, for the language active there. Any other lazy
value (``reverse_lazy`` …) is evaluated at the call and arrives as its text.
"""

from collections.abc import Callable
from typing import Any, cast

from django.utils import text, translation
from django.utils.functional import Promise

from errands.arguments.converter import Converter

LAZY_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "gettext": translation.gettext_lazy,
    "ngettext": translation.ngettext_lazy,
    "pgettext": translation.pgettext_lazy,
    "npgettext": translation.npgettext_lazy,
    "format": text.format_lazy,
}

_NAMES = {
    translation.gettext: "gettext",
    translation.ngettext: "ngettext",
    translation.pgettext: "pgettext",
    translation.npgettext: "npgettext",
    getattr(text.format_lazy, "__wrapped__", None): "format",
}


def _encode_lazy(lazy: Promise) -> str | list[Any]:
    # What pickle would be told: the function that will be called, and with what.
    function, *rest = cast("tuple[Any, ...]", lazy.__reduce__()[1])
    match _NAMES.get(function), rest:
        case str(name), [tuple(args), dict(kwargs), *_]:
            return [name, list(args), kwargs]
        case str(name), [_, number, dict(kwargs)]:
            return [name, [], {**kwargs, "number": number}]
    return str(lazy)


def _decode_lazy(wire: str | list[Any]) -> Any:
    if isinstance(wire, str):
        return wire
    name, args, kwargs = wire
    return LAZY_FUNCTIONS[name](*args, **kwargs)


LAZY: Converter[Promise] = Converter(
    type=Promise, tag="lazy", encode=_encode_lazy, decode=_decode_lazy
)
