"""Counting, saying, and when it is written."""

import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from errands.exceptions import TaskCancelled, TaskInterrupted
from errands.runs.control import Control
from errands.runs.progress import ProgressWriter
from errands.runs.progress_row import ProgressRow, Reading


class Page(ProgressRow):
    """Keeps what is written instead of storing it."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def write(self, reading: Reading) -> None:
        """Keep a reading."""
        self.readings.append(reading)

    @property
    def last(self) -> Reading:
        """What the page shows."""
        return self.readings[-1]


class Wishes(Control):
    """What the outside asks for, set by the test."""

    def __init__(self) -> None:
        self.wanted: BaseException | None = None
        self.urgent = False
        self.checks = 0

    @property
    def is_urgent(self) -> bool:
        """Whether the worker wants something now."""
        return self.urgent

    def check(self) -> None:
        """Raise what is wanted."""
        self.checks += 1
        if self.wanted:
            raise self.wanted


@dataclass
class Clock:
    """A clock that stands still until it is moved, and its timers."""

    time: float = 100.0
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def now(self) -> float:
        """Return the time."""
        return self.time

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Note a timer."""
        timer = (self.time + seconds, call)
        self.timers.append(timer)

        def call_off() -> None:
            if timer in self.timers:
                self.timers.remove(timer)

        return call_off

    def move(self, seconds: float) -> None:
        """Let time pass and timers go off."""
        self.time += seconds
        for timer in [timer for timer in self.timers if timer[0] <= self.time]:
            self.timers.remove(timer)
            timer[1]()


@pytest.fixture
def page() -> Page:
    """Return what the writer writes to."""
    return Page()


@pytest.fixture
def wishes() -> Wishes:
    """Return what the outside asks for."""
    return Wishes()


@pytest.fixture
def clock() -> Clock:
    """Return the writer's clock."""
    return Clock()


@pytest.fixture
def progress(page: Page, wishes: Wishes, clock: Clock) -> ProgressWriter:
    """Return a writer that has written once, as each has when a job begins."""
    writer = ProgressWriter(page, wishes, timing=clock)
    writer.write()
    return writer


def test_a_million_steps_in_an_instant_are_not_written(
    progress: ProgressWriter, page: Page
) -> None:
    for _ in range(1000):
        progress.advance()

    assert len(page.readings) == 1


def test_counts_are_written_twice_a_second(
    progress: ProgressWriter, page: Page, clock: Clock
) -> None:
    for _ in range(100):
        clock.move(0.125)
        progress.advance()

    assert len(page.readings) == 1 + 25
    assert page.last.current == 100


def test_a_status_is_written_at_once(
    progress: ProgressWriter, page: Page, clock: Clock
) -> None:
    clock.move(0.5)

    progress.status("Fetching")

    assert page.last.status == "Fetching"


def test_a_status_said_too_soon_is_written_when_the_interval_is_over(
    progress: ProgressWriter, page: Page, clock: Clock
) -> None:
    progress.status("Fetching")
    progress.status("Writing")
    shown_at_once = page.last.status

    clock.move(0.5)

    assert shown_at_once == ""
    assert page.last.status == "Writing"
    assert len(page.readings) == 2
    assert clock.timers == []


def test_a_count_that_is_due_first_calls_the_timer_off(
    progress: ProgressWriter, page: Page, clock: Clock
) -> None:
    progress.status("Fetching")
    clock.time += 1

    progress.advance()

    assert page.last.status == "Fetching"
    assert clock.timers == []


@pytest.mark.parametrize(
    ("total", "done", "percent"),
    [(None, 5, None), (0, 0, None), (200, 0, 0), (200, 3, 1), (200, 199, 99)],
)
def test_percent_is_rounded_down(
    progress: ProgressWriter,
    page: Page,
    total: int | None,
    done: int,
    percent: int | None,
) -> None:
    progress.total = total
    progress.advance(done)

    progress.flush()

    assert page.last.percent == percent


@pytest.mark.parametrize("done", [200, 201, 100_000])
def test_counting_never_reaches_a_hundred_percent(
    progress: ProgressWriter, page: Page, done: int
) -> None:
    progress.total = 200
    progress.advance(done)

    progress.flush()

    assert (page.last.percent, page.last.current) == (99, done)


def test_percent_never_goes_backwards(progress: ProgressWriter, page: Page) -> None:
    progress.total = 10
    progress.advance(5)
    progress.flush()

    progress.total = 1000
    progress.flush()

    assert page.last.percent == 50
    assert page.last.total == 1000


def test_going_backwards_is_refused(progress: ProgressWriter) -> None:
    with pytest.raises(ValueError, match=r"advance\(-1\): progress never goes backwards"):
        progress.advance(-1)


@pytest.mark.parametrize("count", [10**30, float("inf")])
def test_counts_beyond_all_bounds_are_written_as_the_largest(
    progress: ProgressWriter, page: Page, count: int
) -> None:
    progress.total = count
    progress.failed(count)

    progress.flush()

    largest = 2**53 - 1
    assert (page.last.current, page.last.failed) == (largest, largest)
    assert (page.last.total, page.last.percent) == (largest, 99)


def test_a_total_that_is_not_a_number_is_refused(progress: ProgressWriter) -> None:
    with pytest.raises(ValueError, match=r"progress\.total is nan; it is 0 or more"):
        progress.total = float("nan")  # type: ignore[assignment]


def test_a_total_that_is_a_text_is_refused(progress: ProgressWriter) -> None:
    with pytest.raises(
        TypeError, match=r"progress\.total is 'x'; it is 0 or more, or No"
    ):
        progress.total = "x"  # type: ignore[assignment]


def test_a_total_may_be_what_a_sum_over_a_column_is(progress: ProgressWriter) -> None:
    progress.total = Decimal(5)  # type: ignore[assignment]

    assert progress.total == 5


def test_a_negative_total_is_refused(progress: ProgressWriter) -> None:
    with pytest.raises(ValueError, match=r"progress\.total is -1; it is 0 or more"):
        progress.total = -1


def test_failed_units_are_done_as_well(progress: ProgressWriter, page: Page) -> None:
    progress.advance(3)
    progress.failed(2)

    progress.flush()

    assert (page.last.current, page.last.failed) == (5, 2)


def test_hostile_words_become_plain_lines(progress: ProgressWriter, page: Page) -> None:
    progress.status("a\0b\r\nc" + "x" * 5_000_000)
    progress.step("step\n")
    progress.log("line\n" * 1_000_000)

    progress.flush()

    assert page.last.status.startswith("a b cxxx")
    assert len(page.last.status) == 200
    assert page.last.step == "step"
    assert len(page.last.log) < 500


def test_the_log_keeps_the_last_hundred_lines(
    progress: ProgressWriter, page: Page
) -> None:
    for number in range(1000):
        progress.log(f"row {number}")

    progress.flush()

    assert '"text": "row 899"' not in page.last.log
    assert '"id": 901' in page.last.log
    assert '"id": 1000' in page.last.log


def test_each_flush_asks_whether_to_go_on(
    progress: ProgressWriter, page: Page, wishes: Wishes
) -> None:
    wishes.wanted = TaskCancelled()
    progress.advance(7)

    with pytest.raises(TaskCancelled):
        progress.flush()

    assert page.last.current == 7


def test_a_cancellation_is_seen_when_the_interval_is_over(
    progress: ProgressWriter, wishes: Wishes, clock: Clock
) -> None:
    wishes.wanted = TaskCancelled()
    progress.advance()
    clock.time += 0.5

    with pytest.raises(TaskCancelled):
        progress.advance()


def test_a_stopping_worker_is_obeyed_at_the_very_next_step(
    progress: ProgressWriter, wishes: Wishes
) -> None:
    wishes.wanted, wishes.urgent = TaskInterrupted(), True

    with pytest.raises(TaskInterrupted):
        progress.advance()


def test_a_timer_asks_nothing(
    progress: ProgressWriter, wishes: Wishes, clock: Clock
) -> None:
    progress.status("Fetching")

    clock.move(1)

    assert wishes.checks == 0


def test_a_step_costs_less_than_two_microseconds(page: Page, wishes: Wishes) -> None:
    progress = ProgressWriter(page, Control.__new__(Control))
    progress._control._context = None
    progress.write()

    seconds = min(timeit.repeat(progress.advance, number=10_000, repeat=5))

    assert seconds / 10_000 < 2e-6
