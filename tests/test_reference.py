"""What is public is in the reference, or the build fails."""

import ast
import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.urls import get_resolver

import errands
from errands import testing
from errands.conf import Settings
from errands.queue import backend
from errands.tasks import signals
from errands.tasks.options import TaskOptions

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
CODE = set(re.findall(r"`([^`\n]+)`", REFERENCE))
WORDS = {re.split(r"[(\s]", code)[0] for code in CODE}


def names_in_modules() -> set[str]:
    """Return the names of the section of that name, with their modules."""
    section = REFERENCE.split("## Names in modules\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (.+?) \| `([\w.]+)` \|", section, re.MULTILINE)
    return {
        f"{module}.{name}"
        for cell, module in rows
        for name in re.findall(r"`(\w+)", cell)
    }


def test_every_public_name_is_importable_and_sorted():
    assert errands.__all__ == sorted(errands.__all__, key=_like_ruff)
    for name in errands.__all__:
        assert getattr(errands, name) is not None


@pytest.mark.parametrize("name", errands.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert name in WORDS


def test_every_name_for_tests_is_importable_and_sorted():
    assert testing.__all__ == sorted(testing.__all__, key=_like_ruff)
    for name in testing.__all__:
        assert getattr(testing, name) is not None


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_for_tests_is_in_the_reference(name):
    assert name in WORDS


@pytest.mark.parametrize("name", sorted(names_in_modules()))
def test_every_name_in_a_module_is_importable(name):
    module, _, attribute = name.rpartition(".")

    assert getattr(import_module(module), attribute) is not None


def test_every_name_in_a_module_that_a_page_imports_is_in_the_reference():
    used = {
        f"{module}.{name.strip()}"
        for page in ROOT.glob("docs/**/*.md")
        for module, names in re.findall(
            r"^(?:>>> )?from (errands\.[\w.]+) import (.+)$",
            page.read_text(),
            re.MULTILINE,
        )
        for name in names.split(",")
        if module != "errands.testing"
    }

    assert used
    assert used - names_in_modules() == set()


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_in_the_reference(field):
    assert field.name.upper() in CODE


@pytest.mark.parametrize(
    "name", [*backend.OPTIONS, *(f.name for f in fields(TaskOptions))]
)
def test_every_option_is_in_the_reference(name):
    assert name in CODE


def test_every_signal_is_in_the_reference():
    ours = {name for name in vars(signals) if name.startswith("task_")}

    assert ours <= CODE


def test_every_option_of_the_worker_is_in_the_reference():
    parser = load_command_class("errands", "worker").create_parser("manage.py", "worker")
    djangos = {"--help", "--version", "--settings", "--pythonpath", "--traceback",
               "--verbosity", "--no-color", "--force-color", "--skip-checks"}  # fmt: skip

    ours = {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }

    assert ours - djangos <= CODE


def test_every_address_is_in_the_reference():
    names = get_resolver().namespace_dict["errands"][1].reverse_dict
    ours = {name for name in names if isinstance(name, str)}

    assert ours <= CODE


def test_every_system_check_is_in_the_reference():
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^errands\.[EWI]\d{3}$", node.value))

    assert found
    assert found <= CODE


def _like_ruff(name: str) -> tuple[int, str]:
    rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return rank, name
