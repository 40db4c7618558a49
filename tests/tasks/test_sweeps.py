"""Upkeep goes on when a part of it fails."""

from errands.tasks import sweeps


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
