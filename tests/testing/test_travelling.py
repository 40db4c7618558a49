"""``travel_to``: another instant for the site, and so for the queue."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.template.defaultfilters import date as date_filter
from django.test import override_settings
from django.utils import timezone
from django.utils.timezone import now as imported_now

from errands.queue.models import ResultRow, TaskRow
from errands.queue.store import Store
from errands.testing import Drained, drain, travel_to, travelling
from tests.testing import sample

SPRING = datetime(2031, 4, 1, 12, tzinfo=UTC)


def test_now_is_that_instant_and_stands_still():
    with travel_to(SPRING) as told:
        assert timezone.now() == imported_now() == told == SPRING
        assert timezone.now() == timezone.now()
        assert timezone.localdate() == date(2031, 4, 1)
        assert isinstance(SPRING, timezone.datetime)
        assert date_filter(timezone.template_localtime(SPRING), "H:i") == "14:00"

    assert timezone.now().year < 2031


def test_a_timedelta_counts_from_now_and_journeys_nest():
    with travel_to(SPRING):
        with travel_to(timedelta(days=2)):
            assert timezone.now() == SPRING + timedelta(days=2)
        assert timezone.now() == SPRING


def test_it_travels_inside_a_library_that_freezes_the_time(monkeypatch):
    class Kind(type):
        """freezegun's class of instants has a metaclass of its own, too."""

    class Frozen(datetime, metaclass=Kind):
        pass

    monkeypatch.setattr(travelling, "datetime", Frozen)

    with travel_to(Frozen(2031, 4, 1, 12, tzinfo=UTC)):
        assert timezone.now() == SPRING


def test_the_journey_ends_with_an_error_too():
    with pytest.raises(RuntimeError), travel_to(SPRING):
        raise RuntimeError

    assert timezone.now().year < 2031


def test_without_time_zones_instants_are_naive():
    with override_settings(USE_TZ=False), travel_to(datetime(2031, 4, 1, 12)):  # noqa: DTZ001
        assert timezone.now() == datetime(2031, 4, 1, 12)  # noqa: DTZ001


def test_an_instant_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match=r"got datetime.datetime\(2031.*no time zone"):
        travel_to(datetime(2031, 4, 1)).__enter__()  # noqa: DTZ001


def test_what_is_no_instant_is_refused():
    with pytest.raises(TypeError, match=r"travel_to\(\) got '2031'; it takes a datetime"):
        travel_to("2031").__enter__()  # type: ignore[arg-type]


@pytest.mark.django_db
def test_what_is_due_by_then_is_drained():
    sample.note.using(run_after=sample.LATER).enqueue("in an hour")
    sample.note.using(run_after=2 * sample.LATER).enqueue("in two")

    with travel_to(sample.LATER + timedelta(seconds=1)):
        drained = drain()

    assert drained == Drained(succeeded=1)
    assert sample.heard == ["in an hour"]
    assert drain() == Drained()


@pytest.mark.django_db
def test_what_is_enqueued_then_counts_from_there():
    with travel_to(SPRING):
        sample.note.using(run_after=sample.LATER).enqueue("later")
        with travel_to(timedelta(minutes=59)):
            early = drain()
        with travel_to(timedelta(minutes=60)):
            in_time = drain()

    assert (early.attempts, in_time.attempts) == (0, 1)


@pytest.mark.django_db
def test_a_result_tells_the_time_of_the_journey():
    with travel_to(SPRING):
        result = sample.tell_the_time.enqueue()
        drain()
        result.refresh()

    told = {
        result.enqueued_at,
        result.started_at,
        result.last_attempted_at,
        result.finished_at,
        datetime.fromisoformat(result.return_value),
    }
    assert told == {SPRING}


@pytest.mark.django_db
def test_results_expire_on_the_journey():
    keeping = sample.note.using(keep=timedelta(days=1))
    result = keeping.enqueue("kept")
    drain()

    result.refresh()
    with travel_to(timedelta(days=2)), pytest.raises(Exception, match=result.id):
        sample.note.get_result(result.id)


@pytest.mark.django_db
def test_results_that_the_site_keeps_are_there_until_a_worker_deletes_them():
    result = sample.note.enqueue("kept")
    drain()

    with travel_to(timedelta(days=1000)):
        drain()
        found = sample.note.get_result(result.id)
        Store("default").prune()

    assert found.return_value == "kept"
    assert not ResultRow.objects.exists()


@pytest.mark.django_db
def test_a_rate_is_kept_by_the_time_of_the_test():
    for number in range(5):
        sample.call_partner.enqueue(number)

    at_once = drain()
    with travel_to(timedelta(minutes=61)):
        after_an_hour = drain()
        with travel_to(timedelta(hours=3)):
            at_last = drain()

    assert at_once == Drained(succeeded=2, postponed=3)
    assert after_an_hour.succeeded == 2
    assert at_last.succeeded == 1
    assert sorted(sample.heard) == [0, 1, 2, 3, 4]


@pytest.mark.django_db
@pytest.mark.parametrize("again", [1, 2])
def test_a_rate_is_fresh_in_every_test(again):
    sample.call_partner.enqueue(again)
    sample.call_partner.enqueue(again)

    assert drain() == Drained(succeeded=2)


@pytest.mark.django_db(transaction=True)
def test_it_works_in_autocommit_too():
    sample.note.using(run_after=sample.LATER).enqueue("later")

    with travel_to(timedelta(hours=2)):
        drain()

    assert sample.heard == ["later"]
    assert not TaskRow.objects.exists()
