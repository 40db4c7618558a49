"""Progress in the words of a page."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone, translation
from pytest_django import Settings

from errands.runs import progress
from errands.runs.models import Run
from errands.runs.possession import Possession
from errands.runs.progress import Snapshot
from tests.runs.conftest import stored


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (Snapshot(), ""),
        (Snapshot(total=0), ""),
        (Snapshot(current=1204), "1,204 processed"),
        (Snapshot(current=0, total=5000, percent=0), "0 of 5,000 (0%)"),
        (Snapshot(current=1200, total=5000, percent=24), "1,200 of 5,000 (24%)"),
        (
            Snapshot(current=1204, total=1200, percent=99),
            "1,204 processed (expected 1,200)",
        ),
        (Snapshot(current=3, total=0), "3 processed (expected 0)"),
    ],
)
def test_the_count_in_words(snapshot: Snapshot, text: str) -> None:
    assert snapshot.text == text


def test_numbers_are_those_of_the_viewers_language() -> None:
    snapshot = Snapshot(current=1204)

    with translation.override("de"):
        assert snapshot.text.startswith("1.204")


@pytest.mark.django_db(transaction=True)
def test_a_succeeded_run_is_at_a_hundred_percent(possession: Possession) -> None:
    possession.progress.total = 3
    possession.progress.advance(2)
    possession.succeed()

    snapshot = progress.of(stored(possession.run.pk))

    assert (snapshot.percent, snapshot.current) == (100, 2)
    assert snapshot.text == "2 of 3 (100%)"
    assert snapshot.eta_text == ""


@pytest.mark.django_db(transaction=True)
def test_a_failed_run_stays_where_it_was(possession: Possession) -> None:
    possession.progress.total = 4
    possession.progress.advance(2)
    possession.fail("no luck")

    assert progress.of(stored(possession.run.pk)).percent == 50


@pytest.mark.django_db(transaction=True)
def test_the_count_of_a_former_attempt_is_not_shown_as_this_ones(
    possession: Possession,
) -> None:
    possession.progress.advance(100)
    possession.progress.write()
    Run.objects.update(attempt=2)

    snapshot = progress.of(stored(possession.run.pk))

    assert (snapshot.current, snapshot.attempt) == (0, 2)


@pytest.mark.django_db(transaction=True)
def test_log_lines_are_read_as_they_were_written(possession: Possession) -> None:
    possession.progress.log("12 rows <skipped>")
    possession.progress.write()

    (line,) = progress.read(possession.run.pk).log

    assert (line["id"], line["text"]) == (1, "12 rows <skipped>")


@pytest.mark.django_db(transaction=True)
def test_a_run_nobody_has_begun_has_an_empty_progress(
    new_run: Callable[..., Run],
) -> None:
    assert progress.of(new_run()) == Snapshot()


@pytest.mark.django_db(transaction=True)
def test_where_instants_are_naive_a_visitors_time_zone_does_not_move_the_last_news(
    possession: Possession, settings: Settings
) -> None:
    possession.progress.write()
    settings.USE_TZ = False

    with timezone.override("Pacific/Auckland"):
        age = timezone.now() - progress.read(possession.run.pk).updated_at

    assert abs(age) < timedelta(minutes=5)
