"""What the assertions accept, and what they say when they do not."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from unittest.mock import ANY
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db import transaction
from django.tasks import task_backends

from errands.exceptions import ErrandsError, SignatureMismatch
from errands.testing import (
    assert_enqueued,
    assert_not_enqueued,
    drain,
    travel_to,
)
from tests.testapp.models import Account
from tests.testing import sample

pytestmark = pytest.mark.django_db

SPRING = datetime(2031, 4, 1, 12, tzinfo=UTC)
VIENNA = ZoneInfo("Europe/Vienna")


def failure(task, **expected) -> str:
    """Return what the assertion says."""
    with pytest.raises(AssertionError) as caught:
        assert_enqueued(task, **expected)
    return str(caught.value)


def test_a_priority_may_be_the_member_of_an_enumeration():
    high = IntEnum("Urgency", {"HIGH": 7}).HIGH
    sample.note.using(priority=high).enqueue("x")

    assert len(assert_enqueued(sample.note, priority=high)) == 1


def test_a_waiting_call_is_found_and_returned():
    result = sample.note.enqueue("x")

    assert [found.id for found in assert_enqueued(sample.note)] == [result.id]


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"args": (1, 2)},
        {"args": [1], "kwargs": {"right": 2}},
        {"kwargs": {"left": 1, "right": 2}},
        {"args": (1,)},
        {"kwargs": {"right": 2}},
        {"args": (ANY, 2)},
        {"queue_name": "mail"},
        {"priority": 7, "queue_name": "mail"},
        {"run_after": None},
        {"count": 1},
    ],
    ids=str,
)
def test_however_the_call_is_written_it_is_the_same(expected):
    sample.add.using(queue_name="mail", priority=7).enqueue(1, right=2)

    assert_enqueued(sample.add, **expected)


@pytest.mark.parametrize(
    "expected",
    [
        {"args": (2,)},
        {"kwargs": {"right": 1}},
        {"queue_name": "default"},
        {"priority": 0},
        {"run_after": timedelta(hours=1)},
        {"count": 2},
        {"count": 0},
    ],
    ids=str,
)
def test_what_differs_is_not_found(expected):
    sample.add.using(queue_name="mail", priority=7).enqueue(1, right=2)

    with pytest.raises(AssertionError):
        assert_enqueued(sample.add, **expected)


@pytest.mark.parametrize("backend", ["default", "dummy"])
@pytest.mark.parametrize(
    "value", [(1, 2), {"a": [(1,)]}, b"x", {"$": "date", "v": "2031-04-01"}], ids=repr
)
def test_an_argument_of_a_task_of_djangos_own_is_compared_as_django_stores_it(
    value, backend
):
    task_backends["dummy"].clear()
    plain = sample.plain.using(backend=backend)
    plain.enqueue(value)

    assert_enqueued(plain, args=[value])
    assert_enqueued(plain, args=[ANY])
    assert_not_enqueued(plain, args=[[value]])


def test_a_default_that_was_not_passed_counts():
    sample.add.enqueue(1)

    assert_enqueued(sample.add, kwargs={"right": 1})


def test_records_are_compared_by_their_keys():
    account = Account.objects.create(name="Ann")
    other = Account.objects.create(name="Bob")
    sample.greet.enqueue(account)

    assert_enqueued(sample.greet, args=[Account.objects.get(pk=account.pk)])
    assert_not_enqueued(sample.greet, args=[other])


def test_when_it_is_due_is_an_instant_or_a_distance():
    with travel_to(SPRING):
        sample.note.using(run_after=sample.LATER).enqueue("x")

    assert_enqueued(sample.note, run_after=sample.LATER)
    assert_enqueued(sample.note, run_after=SPRING + sample.LATER)
    assert_not_enqueued(sample.note, run_after=None)
    assert_not_enqueued(sample.note, run_after=SPRING)
    assert_not_enqueued(sample.note, run_after=timedelta(hours=2))


def test_a_job_is_described_as_it_is_started():
    sample.Listing.using(queue_name="reports").enqueue("Ann", times=3)

    assert_enqueued(sample.Listing, args=["Ann"], queue_name="reports")
    assert_not_enqueued(sample.Listing, args=["Bob"])


def test_what_has_run_does_not_wait():
    sample.note.enqueue("x")
    drain()

    assert_not_enqueued(sample.note)
    assert_not_enqueued()


def test_the_message_shows_what_waits_instead_nearest_first():
    account = Account.objects.create(pk=7, name="Ann")
    other = Account.objects.create(pk=8, name="Bob")
    with travel_to(SPRING):
        sample.note.using(run_after=sample.LATER).enqueue({"a": [1]})
        sample.greet.using(queue_name="mail").enqueue(account, words="bye")
        sample.greet.using(queue_name="mail").enqueue(other)

    assert failure(sample.greet, args=[account], queue_name="mail", priority=5) == (
        "No tests.testing.sample.greet(account=<testapp.account 7>), "
        "queue_name='mail', priority=5 waits.\n"
        "In TASKS['default'] 3 tasks wait, nearest first:\n"
        "  tests.testing.sample.greet(account=<testapp.account 7>, words='bye'), "
        "queue_name='mail', priority=0\n"
        "    priority is 0\n"
        "  tests.testing.sample.greet(account=<testapp.account 8>, words='hello'), "
        "queue_name='mail', priority=0\n"
        "    account is <testapp.account 8>; priority is 0\n"
        "  tests.testing.sample.note(value={'a': [1]}), "
        "queue_name='default', priority=0, run_after=2031-04-01T13:00:00+00:00\n"
        "    another task"
    )


def test_the_message_counts():
    sample.add.enqueue(1)
    sample.add.enqueue(1)
    sample.add.enqueue(2)

    assert failure(sample.add, args=[1], count=3) == (
        "Not 3 but 2 tests.testing.sample.add(left=1) wait.\n"
        "In TASKS['default'] 3 tasks wait, nearest first:\n"
        "  tests.testing.sample.add(left=1, right=1), queue_name='default', priority=0\n"
        "    matches\n"
        "  tests.testing.sample.add(left=1, right=1), queue_name='default', priority=0\n"
        "    matches\n"
        "  tests.testing.sample.add(left=2, right=1), queue_name='default', priority=0\n"
        "    left is 2"
    )


def test_the_message_says_what_has_run_already():
    sample.note.enqueue("x")
    drain()

    assert failure(sample.note) == (
        "No tests.testing.sample.note() waits.\n"
        "In TASKS['default'] no task waits.\n"
        "Calls of it that have ended, and so do not wait: 1 succeeded."
    )


def test_the_message_says_that_a_test_never_commits():
    sample.note.enqueue("ours wake workers, and do not count")
    transaction.on_commit(lambda: None)
    sample.add.enqueue_on_commit(1)

    assert failure(sample.add).splitlines()[-1] == (
        "2 on_commit hooks of this test's transaction may not have been called: it "
        "never commits. Put captureOnCommitCallbacks(execute=True) around what "
        "enqueues on commit."
    )


def test_the_message_says_so_where_the_queue_is_in_another_database(
    alias_of, settings, tmp_path
):
    file = {"ENGINE": "django.db.backends.sqlite3", "HOST": "", "PORT": "", "USER": ""}
    alias = alias_of(file | {"NAME": tmp_path / "queue.sqlite3"})
    call_command("migrate", database=alias, verbosity=0)
    queue = settings.TASKS["default"] | {"OPTIONS": {"DATABASE": alias}}
    settings.TASKS = settings.TASKS | {"default": queue}
    sample.Listing.enqueue("Ann")
    sample.add.enqueue_on_commit(1)

    told = failure(sample.Listing).splitlines()[-1]

    assert told.startswith("2 on_commit hooks of this test's transaction may not have")


def test_a_long_queue_is_cut():
    sample.note.enqueue_many([((number,), {}) for number in range(30)])

    assert failure(sample.add).splitlines()[-1] == "  … and 20 more"


def test_what_should_not_wait_is_shown():
    sample.note.enqueue("x" * 100)

    with pytest.raises(AssertionError) as caught:
        assert_not_enqueued(sample.note)

    assert str(caught.value) == (
        "No tests.testing.sample.note() should wait, but 1 task waits:\n"
        f"  tests.testing.sample.note(value='{'x' * 58}…), queue_name='default', "
        "priority=0"
    )


def test_nothing_at_all_should_wait():
    sample.note.enqueue(1)
    sample.add.enqueue(2)

    with pytest.raises(AssertionError, match=r"^Nothing should wait, but 2 tasks wait:"):
        assert_not_enqueued()


def test_a_call_that_cannot_be_is_a_mistake_of_the_test():
    with pytest.raises(SignatureMismatch) as caught:
        assert_not_enqueued(sample.add, kwargs={"rigth": 2})

    assert str(caught.value) == (
        "assert_not_enqueued() got args and kwargs that no call of "
        "tests.testing.sample.add can have: got an unexpected keyword argument 'rigth'."
    )


def test_an_unknown_keyword_is_named():
    with pytest.raises(TypeError) as caught:
        assert_enqueued(sample.add, queue="mail")  # type: ignore[call-arg]

    assert str(caught.value) == (
        "assert_enqueued() got an unexpected keyword 'queue'. Did you mean 'queue_name'?"
    )


def test_the_known_keywords_are_all_of_them():
    with pytest.raises(TypeError) as caught:
        assert_enqueued(sample.add, zebra=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError) as without_count:
        assert_not_enqueued(sample.add, count=0)  # type: ignore[call-arg]

    assert str(caught.value) == (
        "assert_enqueued() got an unexpected keyword 'zebra'. Known: args, kwargs, "
        "queue_name, priority, run_after, count."
    )
    assert str(without_count.value) == (
        "assert_not_enqueued() got an unexpected keyword 'count'. Known: args, kwargs, "
        "queue_name, priority, run_after."
    )


@pytest.mark.parametrize(
    ("expected", "takes"),
    [
        ({"args": 5}, "args=5; it takes a list or a tuple"),
        ({"args": "Ann"}, "args='Ann'; it takes a list or a tuple"),
        ({"args": {"left": 1}}, "args={'left': 1}; it takes a list or a tuple"),
        ({"kwargs": [1]}, "kwargs=[1]; it takes a dict"),
        ({"count": "2"}, "count='2'; it takes an int, or None"),
        ({"count": True}, "count=True; it takes an int, or None"),
        ({"queue_name": 5}, "queue_name=5; it takes a text such as 'mail'"),
        ({"queue_name": None}, "queue_name=None; it takes a text such as 'mail'"),
        ({"priority": "5"}, "priority='5'; it takes an int"),
        ({"priority": True}, "priority=True; it takes an int"),
        (
            {"run_after": 60},
            "run_after=60; it takes a datetime, a timedelta from the call, or None",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused(expected, takes):
    with pytest.raises(TypeError) as caught:
        assert_enqueued(sample.add, **expected)

    assert str(caught.value) == f"assert_enqueued() got {takes}."


@pytest.mark.parametrize(
    ("expected", "takes"),
    [
        ({"priority": 101}, "priority=101; it takes -100 to 100."),
        (
            {"queue_name": "mail,default"},
            (
                "queue_name='mail,default'; 'mail,default' is no queue: a name is one "
                "line of 1 to 100 characters, without ',', '*' and ':'. Name each queue "
                "by itself."
            ),
        ),
        (
            {"run_after": datetime(2031, 4, 1)},  # noqa: DTZ001 - that is the mistake
            (
                "run_after=datetime.datetime(2031, 4, 1, 0, 0); it has no time zone. "
                "Use timezone.make_aware() or a tzinfo."
            ),
        ),
    ],
    ids=str,
)
def test_what_no_call_can_have_is_refused(expected, takes):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        assert_not_enqueued(sample.add, **expected)

    assert str(caught.value) == f"assert_not_enqueued() got {takes}"


def test_an_instant_of_another_zone_is_compared_without_time_zones(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Europe/Berlin"
    sample.note.using(run_after=SPRING).enqueue("x")

    assert_enqueued(sample.note, run_after=SPRING)
    assert_enqueued(sample.note, run_after=datetime(2031, 4, 1, 14))  # noqa: DTZ001


@pytest.mark.parametrize("backend", ["default", "dummy"])
@pytest.mark.parametrize(
    "instant",
    [datetime(2031, 10, 26, 2, tzinfo=VIENNA), datetime(2031, 3, 30, 2, tzinfo=VIENNA)],
    ids=["twice", "never"],
)
def test_an_instant_in_an_hour_that_comes_twice_or_never_is_found(instant, backend):
    task_backends["dummy"].clear()
    note = sample.note.using(backend=backend)
    note.using(run_after=instant).enqueue("x")

    assert_enqueued(note, run_after=instant)
    assert_enqueued(note, run_after=instant.astimezone(UTC))
    assert_not_enqueued(note, run_after=instant.replace(fold=1))


def test_what_using_changed_is_expected_too():
    sample.add.using(queue_name="mail", priority=7, run_after=sample.LATER).enqueue(1)

    assert_enqueued(sample.add.using(queue_name="mail", priority=7))
    assert_enqueued(sample.add.using(run_after=sample.LATER))
    assert_not_enqueued(sample.add.using(queue_name="reports"))
    assert_not_enqueued(sample.add.using(priority=5))
    assert_not_enqueued(sample.add.using(run_after=timedelta()))
    assert_not_enqueued(sample.add.using(run_after=SPRING))
    assert_not_enqueued(sample.plain.using(priority=5))


def test_a_keyword_says_otherwise_than_using():
    sample.add.using(queue_name="mail", priority=7).enqueue(1)

    assert_enqueued(sample.add.using(queue_name="mail", priority=5), priority=7)


CHANGES = [
    {"max_attempts": 7},
    {"timeout": timedelta(minutes=2)},
    {"timeout": timedelta.max},
    {"keep": timedelta(days=1)},
    {"keep": {"failed": timedelta(days=1)}},
    {"metadata": {"tenant": 7}},
    {"metadata": {"range": (1, 2)}},
    {"unique": True},
    {"unique": ("left",)},
    {"concurrency": ("adders:{left}", 2)},
    {"rate": ("adders:{left}", "10/m")},
    {"timeout": timedelta(minutes=2), "unique": True, "rate": ("adders", "10/m")},
]


@pytest.mark.parametrize("backend", ["default", "dummy"])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_our_own_options_that_using_changed_are_expected_too(change, backend):
    task_backends["dummy"].clear()
    add = sample.add.using(backend=backend)
    add.enqueue(1)

    assert_not_enqueued(add.using(**change))

    add.using(**change).enqueue(1)

    assert_enqueued(add.using(**change), args=[1], count=1)
    assert_enqueued(add, count=2)


def test_an_option_that_is_another_one_is_named():
    sample.add.using(timeout=timedelta(minutes=1)).enqueue(1)

    told = failure(sample.add.using(timeout=timedelta(minutes=2), rate=("a", "1/m")))

    assert told.splitlines()[0] == (
        "No tests.testing.sample.add(), timeout=datetime.timedelta(seconds=120), "
        "rate=('a', '1/m') waits."
    )
    assert "\n    timeout is datetime.timedelta(seconds=60); rate is None" in told


def test_nothing_waits_less_than_not_at_all():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        assert_enqueued(sample.add, count=-1)

    assert str(caught.value) == "assert_enqueued() got count=-1; it takes 0 or more."


def test_a_function_is_no_task():
    with pytest.raises(TypeError, match="it takes a task, as @task returns it"):
        assert_enqueued(sample.add.func)


def test_the_dummy_backend_can_be_asked():
    task_backends["dummy"].clear()
    on_dummy = sample.add.using(backend="dummy", queue_name="mail")
    on_dummy.enqueue(1, right=5)

    [found] = assert_enqueued(on_dummy, args=[1], queue_name="mail", count=1)

    assert found.kwargs == {"right": 5}
    with pytest.raises(AssertionError, match="right is 5"):
        assert_enqueued(on_dummy, args=[1, 2])


def test_the_immediate_backend_says_why_not():
    with pytest.raises(ErrandsError) as caught:
        assert_enqueued(sample.add.using(backend="immediate"))

    assert str(caught.value) == (
        "TASKS['immediate'] is made of ImmediateBackend, which keeps no task that waits, "
        "so nothing can be said about it. Let the tests use "
        "errands.queue.DatabaseBackend, or Django's DummyBackend."
    )


def test_what_stars_take_is_compared_one_by_one():
    sample.gather.enqueue(1, Decimal(2), last=3)

    assert_enqueued(sample.gather, args=[1, Decimal(2)], kwargs={"last": 3})
    assert_not_enqueued(sample.gather, args=[1, Decimal(3)])
    with pytest.raises(AssertionError):
        assert_not_enqueued(sample.gather, args=[1, Decimal(2)])


def test_names_that_stars_take_may_be_more_than_those_mentioned():
    sample.gather.enqueue(first=1, last=Decimal(3))

    assert_enqueued(sample.gather, kwargs={"first": 1})
    assert_enqueued(sample.gather, kwargs={"first": ANY, "last": Decimal(3)})
    assert_not_enqueued(sample.gather, kwargs={"first": 2})
    assert_not_enqueued(sample.gather, kwargs={"middle": 1})
    assert failure(sample.gather, kwargs={"last": Decimal(4)}).splitlines()[-2:] == [
        (
            "  tests.testing.sample.gather(first=1, last=decimal('3')), "
            "queue_name='default', priority=0"
        ),
        "    last is decimal('3')",
    ]


def test_a_name_that_stars_take_beside_its_namesake_is_another():
    sample.name.enqueue("Ann", who="Bob")

    assert_enqueued(sample.name, args=["Ann"])
    assert_enqueued(sample.name, kwargs={"who": "Bob"})
    assert_not_enqueued(sample.name, kwargs={"who": "Ann"})


def test_a_name_that_the_call_does_not_have_matches_nothing():
    sample.note_all.enqueue(1, a=1)

    assert_enqueued(sample.note_all, kwargs={"a": ANY})
    assert_not_enqueued(sample.note_all, kwargs={"c": ANY})
    with pytest.raises(AssertionError, match="c is missing"):
        assert_enqueued(sample.note_all, kwargs={"c": None})
