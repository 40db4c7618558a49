"""The house rules that no linter knows: sizes, names, and what stays out."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import errands

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "errands"
THIS_FILE = Path(__file__)

LONGEST_FUNCTION = 40
LONGEST_FILE = 400
NAMES_THAT_SAY_NOTHING = {"common", "core", "helpers", "manager", "misc", "utils"}
WAYS_NOT_TO_RUN = {"importorskip", "skip", "skipif", "skipIf", "skipUnless", "xfail"}

# The homes of people and the like, and options that tell pip or npm where to look.
MACHINE_PATH = re.compile(r"(?<![\w.:/~}*-])/(?:root|home|Users|work|farm)/\w")
REGISTRY = re.compile(r"index-url|find-links|https?://[^\s\"']+/simple\b|registry\.npm")


def test_no_function_is_longer_than_forty_lines_without_its_docstring() -> None:
    lengths = {
        f"{where(path)}:{function.lineno} {function.name}": length(function)
        for path in SOURCE.rglob("*.py")
        for function in functions(path)
    }

    assert lengths
    assert {n: size for n, size in lengths.items() if size > LONGEST_FUNCTION} == {}


def test_no_file_has_more_than_400_lines_of_code() -> None:
    sizes = {where(path): lines_of_code(path) for path in SOURCE.rglob("*.py")}

    assert sizes
    assert {name: size for name, size in sizes.items() if size > LONGEST_FILE} == {}


def test_every_file_name_says_what_is_in_it() -> None:
    names = [path for path in tracked_files() if path.suffix == ".py"]

    assert [where(path) for path in names if path.stem in NAMES_THAT_SAY_NOTHING] == []


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse((SOURCE / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("errands.")
        for alias in node.names
    }

    assert imported == set(errands.__all__)


def test_every_public_name_can_be_imported() -> None:
    missing = [name for name in errands.__all__ if not hasattr(errands, name)]

    assert missing == []


def test_no_file_names_a_path_of_one_machine_or_a_registry() -> None:
    found = [
        f"{where(path)}:{number}: {line.strip()}"
        for path in tracked_files()
        if path != THIS_FILE
        for number, line in enumerate(lines(path), 1)
        if MACHINE_PATH.search(line) or REGISTRY.search(line)
    ]

    assert found == []


def test_constraints_hold_names_and_exact_versions_only() -> None:
    pins = [line for line in lines(ROOT / "constraints.txt") if line[:1] != "#"]

    assert pins == sorted(pins, key=lambda pin: pin.split("==")[0].lower())
    assert [pin for pin in pins if not re.fullmatch(r"[\w-]+==[\w.]+", pin)] == []


def test_every_named_development_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    named = {name for group in groups for name in group if isinstance(name, str)}
    pinned = {line.split("==")[0] for line in lines(ROOT / "constraints.txt")}

    assert named - pinned == set()


def test_every_test_is_able_to_run() -> None:
    found = [
        f"{where(path)}:{node.lineno}: {node.attr}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in WAYS_NOT_TO_RUN
    ]

    assert found == []


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def lines_of_code(path: Path) -> int:
    stripped = (line.strip() for line in lines(path))
    return sum(1 for line in stripped if line and not line.startswith("#"))


def tracked_files() -> list[Path]:
    """Every file that is in the repository or would be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def lines(path: Path) -> list[str]:
    """The lines of a text file; none of an image or an archive."""
    try:
        return path.read_text().splitlines()
    except UnicodeDecodeError:
        return []


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))
