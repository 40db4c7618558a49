"""When a supervisor may copy itself."""

import pytest

from errands.worker.supervising import forking


class Listed:
    """The threads of a process, as the system lists them each time."""

    def __init__(self, *counts: int) -> None:
        self._counts = list(counts)

    def iterdir(self) -> range:
        return range(self._counts.pop(0))


@pytest.mark.parametrize(
    ("counts", "is_sound"),
    [((1,), True), ((3, 2, 1), True), ((2, 2, 2, 2), False)],
    ids=["alone", "what has ended is still listed", "another thread"],
)
def test_a_process_is_copied_where_no_other_thread_stays(monkeypatch, counts, is_sound):
    monkeypatch.setattr(forking, "THREADS", Listed(*counts))

    assert forking.may_fork() == is_sound
