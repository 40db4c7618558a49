"""What the supervisor does when the system does not let it."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from errands.worker.options import WorkerOptions
from errands.worker.supervising.place import Place
from errands.worker.supervising.supervisor import Supervisor, describe


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_process_that_the_system_refuses_is_started_later(
    tmp_path: Path, monkeypatch, caplog
):
    answers = iter([BlockingIOError("no more processes"), SimpleNamespace()])

    def begin(place: Place, standard_input: int) -> object:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(Place, "_begin", begin)
    supervisor = Supervisor(WorkerOptions(), print)
    place = Place(tmp_path / "slots", WorkerOptions())
    before = open_files()

    supervisor._start(place)
    is_refused, left_open = not place.is_running, open_files() - before
    time.sleep(0.11)
    supervisor._do_what_is_due()

    assert is_refused
    # What other tests have left may be closed meanwhile.
    assert left_open <= 0
    assert place.is_running
    assert "does not let us start a process" in caplog.text
    place.order(b"s")
    monkeypatch.setattr(place, "_process", SimpleNamespace(poll=lambda: 0))
    place.slots.say_goodbye(is_done=True)
    assert place.bury() is None
    assert open_files() <= before
    place.slots.close()


@pytest.mark.parametrize(
    ("told", "places"),
    [
        ({"threads": 1}, "1 process × 1 thread"),
        ({"processes": 3, "threads": 2}, "3 processes × 2 threads"),
        ({"queues": "mail:2,default:8,*", "threads": 5}, "1 process × 15 threads"),
        ({"queues": "mail:1", "threads": 5}, "1 process × 1 thread"),
        ({"processes": 5, "limit": 3, "threads": 5}, "3 processes × 5 threads"),
        ({"processes": 5, "limit": 1, "threads": 5}, "1 process × 5 threads"),
    ],
)
def test_the_line_that_says_ready_counts_what_works(told, places):
    options = WorkerOptions(name="anna", **told)

    line = describe(options)

    assert line == (
        f"worker anna: backend default, queues {options.queues}, {places}, ready"
    )
