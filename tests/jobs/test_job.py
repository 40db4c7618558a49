"""The class people write, and the click that starts it."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest
from django.tasks.exceptions import InvalidTask
from django.utils import timezone
from django.utils.translation import override
from pytest_django import Settings

from errands import ArgumentError, Job, JobError, SignatureMismatch, exponential
from errands.jobs.job import _in_words
from errands.jobs.perform import task_of
from errands.runs.models import Run
from errands.runs.states import State
from errands.tasks.registry import registry
from tests.jobs.conftest import Play
from tests.jobs.sample import (
    AccountReport,
    Base,
    Concrete,
    Guarded,
    Once,
    OnceForAll,
    Scripted,
)
from tests.testapp.models import Account

IN_SETTINGS = """
import sys
from errands import Job, Download

class Report(Job):
    title = "Report"
    def perform(self): ...

assert "errands.runs.models" not in sys.modules
from django.conf import settings
assert not settings.configured
print(Report.path())
"""


def test_a_job_can_be_written_before_apps_are_ready_and_in_settings() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_SETTINGS],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.stdout.strip(), ran.stderr) == ("__main__.Report", "")


def test_the_task_of_a_job_is_found_under_the_path_of_its_class() -> None:
    task = registry.find("tests.jobs.sample.AccountReport")

    assert task is task_of(AccountReport)
    assert task.module_path == "tests.jobs.sample.AccountReport"
    assert (task.queue_name, task.takes_context) == ("jobs", True)


def test_an_abstract_job_is_no_task_and_cannot_be_started(db: None) -> None:
    assert registry.find(Base.path()) is None
    assert registry.find(Concrete.path()) is not None
    with pytest.raises(TypeError, match=r"sample\.Base is abstract; start a subclass"):
        Base.enqueue()


def test_a_back_off_that_returns_no_seconds_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(
        TypeError, match=r"Hasty\.backoff is the class exponential, not an"
    ):

        class Hasty(Job):
            backoff = exponential  # type: ignore[assignment]


def test_a_back_off_written_as_a_method_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError) as refusal:

        class Bound(Base):
            def backoff(self, exception: Exception, task_result: Any) -> float:  # type: ignore[override]
                return 5

    assert (
        str(refusal.value)
        .split(".backoff ")[1]
        .startswith(
            "is called with the exception and the result so far, and takes (self, "
        )
    )


def test_an_async_perform_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="is async; a job's perform is a plain method"):

        class Late(Job):
            async def perform(self) -> None: ...


def test_a_perform_that_yields_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(
        TypeError, match=r"Lazy\.perform is a generator: calling it runs none of its"
    ):

        class Lazy(Job):
            def perform(self) -> Iterator[int]:
                yield 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_attempts", "3", "max_attempts is '3'; it is a whole number from 1 to"),
        ("discard_on", ("ValueError",), "discard_on holds 'ValueError', not an"),
        ("result_expires", 7, "Wrong.result_expires is 7; it takes a timedelta, or None"),
        ("result_expires", timedelta.max, "more than 100 years. None keeps the results"),
        ("result_expires", -timedelta(1), "less than nothing. None keeps the results"),
        ("unique", True, 'Wrong.unique is True; it takes a tuple of "owner" and'),
        ("queue_name", 5, "Wrong.queue_name is 5; it takes a text"),
        ("backend", None, "Wrong.backend is None; it takes a text"),
        ("priority", 500, "Wrong.priority is 500; it is a whole number from -100 to 100"),
        ("priority", "1", "Wrong.priority is '1'; it is a whole number from -100 to 100"),
        ("priority", True, "Wrong.priority is True; it is a whole number from -100 to"),
        ("permission_required", 5, "permission_required is 5; it takes a permission su"),
        ("permission_required", (None,), r"permission_required is \(None,\); it takes a"),
    ],
)
def test_an_attribute_of_the_wrong_type_is_refused_when_the_class_is_made(
    name: str, value: object, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        type("Wrong", (Base,), {name: value})


@pytest.mark.parametrize(
    "required", [None, "", "shop.view_order", ("shop.view_order",), ["shop.view_order"]]
)
def test_a_permission_is_one_or_several_or_none(required: Any) -> None:
    job = type("Choosy", (Base,), {"permission_required": required})

    assert job.permissions() == (("shop.view_order",) if required else ())


def test_a_class_that_does_no_work_is_refused_when_it_is_made() -> None:
    with pytest.raises(TypeError) as refusal:
        type("Idle", (Job,), {})

    assert str(refusal.value) == (
        "tests.jobs.test_job.Idle has no perform(), which does the work. Write one, or "
        "say abstract = True where it is a base of other jobs."
    )


def test_a_base_may_leave_the_work_to_others() -> None:
    base = type("Leading", (Job,), {"abstract": True})

    assert type("Working", (base,), {"perform": lambda self: None}).abstract is False


def test_one_exception_is_discarded_as_well_as_a_tuple_of_them() -> None:
    job = type("Choosy", (Base,), {"discard_on": KeyError})

    assert task_of(job).options.discard_on == (KeyError, JobError)


def test_an_unknown_way_to_be_unique_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match='it takes a tuple of "owner" and "arguments"'):

        class Odd(Job):
            unique = ("owner", "argument")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AccountReport", "Account report"),
        ("PDFReport", "PDF report"),
        ("ExportOrdersCSV", "Export orders CSV"),
        ("Report", "Report"),
    ],
)
def test_a_job_without_a_title_is_called_by_its_name_in_words(
    name: str, words: str
) -> None:
    assert _in_words(name) == words


def test_starting_writes_a_run_for_the_user_of_the_request(
    click: HttpRequest, ann: User
) -> None:
    account = Account.objects.create(name="Ada")

    with override("de"), timezone.override("Asia/Tokyo"):
        run = AccountReport.start(click, account)

    run.refresh_from_db()
    assert run.owner == ann
    assert (run.language, run.time_zone) == ("de", "Asia/Tokyo")
    assert run.base_url == "http://shop.example"
    assert (run.title, run.state) == ("Ja", State.QUEUED)
    assert run.get_absolute_url() == f"/jobs/{run.pk}/"


def test_an_async_view_starts_a_job_as_any_other(click: HttpRequest, ann: User) -> None:
    account = Account.objects.create(name="Ada")

    with override("de"):
        run = async_to_sync(AccountReport.astart)(click, account)
        named = async_to_sync(AccountReport.using(title="Named").astart)(click, account)

    assert (run.owner, run.language, run.base_url) == (ann, "de", "http://shop.example")
    assert (run.title, named.title) == ("Ja", "Named")
    with pytest.raises(SignatureMismatch, match="sinse"):
        async_to_sync(AccountReport.astart)(click, account, sinse=1)


def test_async_code_starts_a_job_without_a_request(ann: User) -> None:
    account = Account.objects.create(name="Ada")

    run = async_to_sync(AccountReport.aenqueue)(account)
    owned = async_to_sync(AccountReport.using(owner=ann).aenqueue)(account)

    assert (run.owner, owned.owner) == (None, ann)
    assert (run.state, run.base_url) == (State.QUEUED, "")


def test_an_aware_instant_is_taken_where_the_site_has_naive_ones(
    ann: User, settings: Settings
) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Europe/Berlin"
    due_at = datetime(2100, 7, 1, 10, tzinfo=UTC)

    run = Scripted.using(owner=ann, run_after=due_at).enqueue()

    run.refresh_from_db()
    assert run.run_after == datetime(2100, 7, 1, 12)  # noqa: DTZ001
    assert run.state == State.SCHEDULED


def test_a_start_beyond_the_calendar_is_cut_as_that_of_a_task(db: None) -> None:
    run = Scripted.using(run_after=timedelta.max).enqueue()

    assert run.run_after == datetime(9998, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("run_after", "error", "message"),
    [
        (datetime(2100, 1, 1), InvalidTask, "run_after must be an aware datetime."),  # noqa: DTZ001
        (3, TypeError, "run_after is 3; it takes an aware datetime, or a timedelta"),
    ],
)
def test_a_start_that_is_no_instant_is_refused_as_that_of_a_task(
    run_after: Any, error: type[Exception], message: str, db: None
) -> None:
    with pytest.raises(error, match=message):
        Scripted.using(run_after=run_after).enqueue()


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (Account(), "this testapp.Account, is not saved, so nobody could find the run"),
        ("Ada", "subject is 'Ada'; it takes the record that the run is about."),
    ],
)
def test_a_subject_that_nobody_could_look_up_is_refused(
    subject: Any, message: str, db: None
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Scripted.using(subject=subject).enqueue()


def test_using_changes_one_start(click: HttpRequest, bob: User) -> None:
    account = Account.objects.create(name="Ada")

    run = AccountReport.using(
        title="For Bob",
        status="Soon",
        language="de",
        owner=bob,
        subject=account,
        run_after=timedelta(hours=1),
        queue_name="slow",
        priority=7,
    ).start(click, account)

    run.refresh_from_db()
    assert (run.title, run.status, run.language) == ("For Bob", "Soon", "de")
    assert (run.owner, run.state) == (bob, State.SCHEDULED)
    assert (run.queue_name, run.priority) == ("slow", 7)
    assert list(Run.objects.about(account)) == [run]


def test_enqueue_starts_a_job_that_nobody_owns(db: None) -> None:
    run = AccountReport.enqueue(Account.objects.create(name="Ada"))

    assert (run.owner, run.base_url) == (None, "")


def test_somebody_without_an_account_cannot_start_a_job(click: HttpRequest) -> None:
    click.user = AnonymousUser()

    with pytest.raises(PermissionDenied):
        Scripted.start(click)

    assert not Run.objects.exists()


@pytest.mark.parametrize("given", [None, 5, "x", Account(name="Ada")], ids=repr)
def test_a_start_without_its_request_is_refused_as_that(given: Any) -> None:
    with pytest.raises(TypeError) as refusal:
        AccountReport.start(given, since="2026-01-01")

    assert str(refusal.value) == (
        f"AccountReport.start() got {type(given).__name__}; it takes the request first, "
        "and then the arguments of perform. Without a request, use enqueue()."
    )


def test_a_job_with_a_permission_is_started_only_by_who_has_it(
    click: HttpRequest, ann: User
) -> None:
    with pytest.raises(PermissionDenied, match=r"requires auth\.view_group"):
        Guarded.start(click)
    assert not Run.objects.exists()

    ann.user_permissions.add(Permission.objects.get(codename="view_group"))
    click.user = User.objects.get(pk=ann.pk)

    assert Guarded.start(click).owner == ann


def test_users_without_permissions_start_what_takes_none(
    click: HttpRequest, ann: User, without_permissions: None
) -> None:
    assert Scripted.start(click).owner == ann

    with pytest.raises(PermissionDenied, match=r"requires auth\.view_group"):
        Guarded.start(click)


def test_a_job_whose_page_is_nowhere_is_not_started(
    click: HttpRequest, settings: Settings
) -> None:
    settings.ROOT_URLCONF = "tests.jobs.no_urls"

    with pytest.raises(ImproperlyConfigured) as refusal:
        Scripted.start(click)

    assert str(refusal.value) == (
        "The URLconf 'tests.jobs.no_urls' does not include the pages of jobs. Add "
        'path("jobs/", include("errands.urls")) to its urlpatterns.'
    )
    assert not Run.objects.exists()


def test_a_language_that_is_no_code_is_refused() -> None:
    with pytest.raises(TypeError, match="language is 5; it takes a code such as 'de'"):
        Scripted.using(language=5)  # type: ignore[arg-type]


def test_wrong_arguments_are_refused_in_the_request(click: HttpRequest) -> None:
    with pytest.raises(SignatureMismatch, match=r"AccountReport\.perform.*since"):
        AccountReport.start(click, Account.objects.create(), sinse="2026-01-01")
    with pytest.raises(ArgumentError, match="account"):
        AccountReport.start(click, Account(name="unsaved"))

    assert not Run.objects.exists()


def test_a_second_click_returns_the_open_run(click: HttpRequest) -> None:
    first = Once.start(click, 1)

    assert Once.start(click, 1) == first
    assert Once.start(click, 2) != first


def test_a_click_after_the_end_starts_a_new_run(click: HttpRequest) -> None:
    first = Once.start(click, 1)

    first.cancel()

    assert Once.start(click, 1) != first


def test_a_second_click_finds_the_run_before_a_replica_has_it(
    click: HttpRequest, settings: Settings
) -> None:
    class ReadsFromReplica:
        def db_for_read(self, model: type, **hints: object) -> str:
            return "replica"

    settings.DATABASE_ROUTERS = [ReadsFromReplica()]
    first = Once.start(click, 1)

    assert Once.start(click, 1) == first


def test_a_unique_job_is_one_per_owner(click: HttpRequest, bob: User) -> None:
    first = Once.start(click, 1)
    click.user = bob

    assert Once.start(click, 1) != first


def test_a_job_shared_by_all_is_granted_to_who_clicks_second(
    click: HttpRequest, bob: User
) -> None:
    first = OnceForAll.start(click, 1)
    click.user = bob

    second = OnceForAll.start(click, 1)

    assert second == first
    assert list(Run.objects.visible_to(bob)) == [first]


def test_absolute_urls_are_of_the_host_of_the_click(play: Play) -> None:
    run = play(lambda job: _log(job, job.absolute_url("/orders/1/")))

    assert _logged(run) == "http://shop.example/orders/1/"


def _log(job: Job, text: str) -> None:
    job.status(text)


def _logged(run: Run) -> str:
    from errands.runs.progress import read

    return read(run.pk).status
