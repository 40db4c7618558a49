"""Every example of the guide runs and prints what the guide says."""

import doctest
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_django import Settings

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "guides" / "arguments.md"
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("own_converters")
def test_the_examples_of_the_guide_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE / "guide")
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "shop"]
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    order = import_module("shop.models").Order.from_db("default", ["number"], [42])
    module = ModuleType("guide")
    monkeypatch.setitem(sys.modules, "guide", module)
    names = vars(module)
    names["order"] = order

    blocks = BLOCK.findall(GUIDE.read_text())
    failures = [line for kind, code in blocks for line in failures_of(kind, code, names)]

    assert len(blocks) == 11
    assert failures == []


def failures_of(kind: str, code: str, names: dict[str, Any]) -> list[str]:
    """Run one block; names it defines are there for the next."""
    if kind == "python":
        exec(compile(code, GUIDE.name, "exec"), names)  # noqa: S102 - our own guide
        return []
    said: list[str] = []
    runner = doctest.DocTestRunner()
    test = doctest.DocTestParser().get_doctest(code, names, GUIDE.name, None, 0)
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    return said
