"""Lazy translations are translated where they arrive."""

from typing import Any

import pytest
from django.urls import reverse_lazy
from django.utils.functional import Promise, lazystr
from django.utils.text import format_lazy
from django.utils.translation import (
    gettext_lazy,
    ngettext_lazy,
    npgettext_lazy,
    override,
    pgettext_lazy,
)
from pytest_django import Settings

from errands.arguments import decode, encode


@pytest.mark.parametrize(
    ("lazy", "german"),
    [
        (gettext_lazy("Yes"), "Ja"),
        (pgettext_lazy("alt. month", "March"), "März"),
        (ngettext_lazy("%(num)d day", "%(num)d days", 1), "%(num)d Tag"),
        (npgettext_lazy("autumn", "%d day", "%d days", 2), "%d days"),
        (format_lazy("{}: {answer}", 1, answer=gettext_lazy("Yes")), "1: Ja"),
    ],
    ids=["gettext", "pgettext", "ngettext", "npgettext", "format_lazy"],
)
def test_a_translation_follows_the_language_of_the_worker(lazy: Any, german: str) -> None:
    with override("en"):
        wire = encode(lazy)

    arrived = decode(wire)

    assert isinstance(arrived, Promise)
    with override("de"):
        assert str(arrived) == german == str(lazy)


def test_a_plural_whose_number_comes_later_still_waits_for_it() -> None:
    lazy = ngettext_lazy("%(num)d day", "%(num)d days", "num")

    arrived: Any = decode(encode(lazy))

    with override("de"):
        assert arrived % {"num": 1} == "1 Tag"
        assert arrived % {"num": 2} == "2 Tage"


def test_any_other_lazy_text_arrives_as_its_text(settings: Settings) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"

    arrived = decode(encode([lazystr("a"), reverse_lazy("login")]))

    assert arrived == ["a", "/login/"]
    assert [type(text) for text in arrived] == [str, str]
