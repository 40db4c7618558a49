"""The documentation's examples are Python, and name what exists."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def examples(path: Path) -> list[ast.Module]:
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    return [compile(block, named(path), "exec", flags) for block in blocks]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_example_is_python_and_imports_what_exists(page):
    imports = [
        (node.module, alias.name)
        for example in examples(page)
        for node in ast.walk(example)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("errands")
        for alias in node.names
    ]

    assert [i for i in imports if not hasattr(import_module(i[0]), i[1])] == []


@pytest.mark.parametrize("guide", GUIDES, ids=named)
def test_every_guide_ends_with_its_caveats(guide):
    sections = re.findall(r"^## (.+)$", guide.read_text(), re.MULTILINE)

    assert sections[-1] == "Caveats"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)?(?:#([^)]*))?\)", page.read_text())

    for target, anchor in links:
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, anchor


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
