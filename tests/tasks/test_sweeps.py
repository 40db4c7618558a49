"""Upkeep goes on when a part of it fails."""

import ast
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

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

    def broken(error: BaseException) -> None:
        raise error

    raising = [partial(broken, RuntimeError("dust")), partial(broken, SystemExit("rest"))]
    monkeypatch.setattr(sweeps, "_sweeps", [*raising, lambda: ran.append("third")])

    sweeps.run_sweeps()

    assert ran == ["third"]
    assert "dust" in caplog.text
    assert "rest" in caplog.text


async def swept_later() -> None: ...


@pytest.mark.parametrize("given", [5, "clean", swept_later, lambda shelf: shelf])
def test_what_cannot_be_called_without_arguments_is_no_sweep(monkeypatch, given):
    monkeypatch.setattr(sweeps, "_sweeps", registered := [])

    with pytest.raises(TypeError, match="is no sweep: that is a plain function"):
        sweeps.sweep(given)

    assert registered == []


def test_a_sweep_may_have_defaults(monkeypatch):
    monkeypatch.setattr(sweeps, "_sweeps", registered := [])

    def swept(shelf: int = 1) -> int:
        return shelf

    sweeps.sweep(swept)

    assert registered == [swept]


def test_a_sweep_may_be_annotated_for_type_checkers_only(monkeypatch, send):
    monkeypatch.setattr(sweeps, "_sweeps", registered := [])

    sweeps.sweep(send)

    assert registered == [send]


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
