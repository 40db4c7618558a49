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
