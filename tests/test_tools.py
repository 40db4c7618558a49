"""The scripts that a new machine depends on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIND_PYTHON = Path(__file__).parent.parent / "tools" / "find-python"
NAMES = ("python3", "python3.12", "python3.13", "python3.14")


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on whose PATH no Python works."""
    shims = tmp_path / "pyenv" / "shims"
    for name in (*NAMES, "getent"):
        script(shims / name, "exit 127")
    return {"PATH": f"{shims}:{os.defpath}", "HOME": str(tmp_path / "home")}


def test_the_wanted_version_is_found_behind_a_shim_that_does_not_run(
    machine: dict[str, str], tmp_path: Path
) -> None:
    script(
        tmp_path / "pyenv" / "versions" / "3.12.9" / "bin" / "python3", "echo unwanted"
    )
    a_python(tmp_path / "pyenv" / "versions" / "3.13.1" / "bin" / "python3")

    found = find_python(machine)

    assert found.stdout == f"{sys.executable}\n"


def test_a_python_that_uv_installed_is_found(machine: dict[str, str]) -> None:
    installed = Path(machine["HOME"]) / ".local" / "share" / "uv" / "python"
    a_python(installed / "cpython-3.13.1-linux-x86_64-gnu" / "bin" / "python3")

    found = find_python(machine)

    assert found.stdout == f"{sys.executable}\n"


def test_where_no_python_works_the_answer_is_what_was_tried(
    machine: dict[str, str], tmp_path: Path
) -> None:
    found = find_python(machine)

    shim = tmp_path / "pyenv" / "shims" / "python3"
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        "No Python of version 3.12 or newer was found that can make a virtual\n"
        "environment (with venv, ensurepip, sqlite3 and ssl).\n"
        "Tried:\n"
        f"  {shim}.13 (does not run)\n"
        f"  {shim}.14 (does not run)\n"
        f"  {shim}.12 (does not run)\n"
        f"  {shim} (does not run)\n"
        "Install Python 3.13, or name one: make PYTHON=/path/to/python3 ...\n"
    )


def find_python(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FIND_PYTHON], env=environment, capture_output=True, text=True, check=False
    )


def a_python(path: Path) -> None:
    script(path, f'exec {sys.executable} "$@"')


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
