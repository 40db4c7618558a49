"""Upkeep goes on when a part of it fails."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import errands
from errands.tasks import sweeps

SOURCE = Path(errands.__file__).parent
REGISTERED = (
    "import django, json; django.setup(); from errands.tasks.sweeps import _sweeps; "
    "print(json.dumps([f'{each.__module__}.{each.__name__}' for each in _sweeps]))"
)


def decorated() -> set[str]:
    """Return the sweeps that the source has, whether or not it is imported."""
    found = set()
    for file in SOURCE.rglob("*.py"):
        module = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
        for function in ast.walk(ast.parse(file.read_text())):
            marks = getattr(function, "decorator_list", [])
            names = {mark.id for mark in marks if isinstance(mark, ast.Name)}
            if names & {"sweep", "rare_sweep"}:
                found.add(f"{module}.{function.name}")
    return found


def test_a_site_registers_every_sweep_there_is():
    said = subprocess.check_output([sys.executable, "-c", REGISTERED], text=True)

    assert len(decorated()) >= 4
    assert set(json.loads(said)) == decorated()


def test_a_sweep_that_raises_is_logged_and_stops_no_other(monkeypatch, caplog):
    ran = []

    def broken() -> None:
        raise RuntimeError("dust")

    monkeypatch.setattr(sweeps, "_sweeps", [broken, lambda: ran.append("second")])

    sweeps.run_sweeps()

    assert ran == ["second"]
    assert "dust" in caplog.text


def test_a_rare_sweep_rests_for_five_rounds_when_it_found_nothing(monkeypatch):
    found = [1, 0, 0]
    ran = []

    def seldom() -> int:
        ran.append(1)
        return found.pop(0)

    monkeypatch.setattr(sweeps, "_sweeps", [])
    sweeps.rare_sweep(seldom)
    for _ in range(8):
        sweeps.run_sweeps()

    assert len(ran) == 3
