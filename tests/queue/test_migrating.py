"""What the guide says about coming from other queues."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.db import connection
from django.tasks import TaskResultStatus
from pytest_django import Settings

from errands import SignatureMismatch
from errands.testing import Drained, assert_enqueued, drain
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "migrating.md"
NEW_YEAR = datetime(2999, 1, 1, tzinfo=UTC)


def example(section: str, number: int) -> str:
    """Return an example of a section, counted from 0."""
    text = re.split(rf"^##+ {section}\n", GUIDE.read_text(), flags=re.MULTILINE)[1]
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]


def run_example(section: str, number: int, **names: Any) -> None:
    code = compile(example(section, number), f"{GUIDE.name}: {section}", "exec")
    exec(code, names)  # noqa: S102 - our own guide


@pytest.fixture
def old(settings: Settings) -> Iterator[Any]:
    """The model of a django-tasks-db that has tasks, as the guide configures it."""
    found: dict[str, Any] = {}
    code = example("django-tasks-db", 0).replace("...", "*apps")
    exec(code, {"apps": settings.INSTALLED_APPS}, found)  # noqa: S102 - our own guide
    settings.INSTALLED_APPS = list(dict.fromkeys(found["INSTALLED_APPS"]))
    settings.TASKS = found["TASKS"]
    model = import_module("django_tasks_db.models").DBTaskResult
    with connection.schema_editor() as editor:
        editor.create_model(model)
    yield model
    with connection.schema_editor() as editor:
        editor.delete_model(model)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> ModuleType:
    """A module of tasks, as an example begins it."""
    made = ModuleType("shop_tasks_of_the_guide")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    settings.ERRANDS = {"IMPORTS": [made.__name__]}
    return made


def test_what_waits_in_django_tasks_db_is_moved(old):
    on_old = tasks.add.using(backend="old")
    on_old.enqueue(1, right=2)
    on_old.using(queue_name="mail", priority=7, run_after=NEW_YEAR).enqueue(3)
    old.objects.create(
        task_path="gone", run_after=NEW_YEAR, status="RUNNING", args_kwargs={}
    )

    run_example("Move what waits", 0)

    assert_enqueued(tasks.add, args=[1], kwargs={"right": 2}, run_after=None, count=1)
    later = {"queue_name": "mail", "priority": 7, "run_after": NEW_YEAR}
    assert_enqueued(tasks.add, args=[3], count=1, **later)
    assert [row.status for row in old.objects.all()] == ["RUNNING"]


def test_a_call_that_fits_no_more_lets_nothing_be_moved(old):
    tasks.add.using(backend="old").enqueue(1)
    tasks.add.using(backend="old").enqueue(2)
    old.objects.filter(args_kwargs__args=[2]).update(
        args_kwargs={"args": [], "kwargs": {"gone": 1}}
    )

    with pytest.raises(SignatureMismatch):
        run_example("Move what waits", 0)

    assert old.objects.count() == 2
    assert drain() == Drained()


def test_the_old_worker_works_off_what_it_finds_under_its_new_name(old):
    result = tasks.add.using(backend="old").enqueue(1)
    old.objects.update(backend_name="default")

    run_example("django-tasks-db", 1)
    # The command itself would also take over the signals of this process.
    command = import_module("django_tasks_db.management.commands.db_worker")
    command.Worker(
        queue_names=["*"],
        interval=0,
        batch=True,
        backend_name="old",
        startup_delay=False,
        max_tasks=None,
        worker_id="old",
        excluded_queue_names=[],
    ).run()

    found = tasks.add.using(backend="old").get_result(result.id)
    assert found.status == TaskResultStatus.SUCCESSFUL


def test_a_message_in_the_broker_finds_the_task_under_its_old_name(module):
    from celery import Celery

    app = Celery("shop", set_as_current=True)
    app.conf.task_always_eager = True

    exec(example("Celery", 0), vars(module))  # noqa: S102 - our own guide

    assert app.tasks["shop.tasks.send_receipt"].delay(7).successful()
    assert vars(module)["send_receipt"].options.max_attempts == 4


def test_a_message_for_a_function_that_has_changed_is_passed_on(module):
    from celery import Celery

    app = Celery("shop", set_as_current=True)
    app.conf.task_always_eager = True

    exec(example("Celery", 1), vars(module))  # noqa: S102 - our own guide

    assert app.tasks["shop.tasks.charge"].delay(7).successful()
    assert_enqueued(vars(module)["charge"], args=[7])
    assert drain() == Drained(succeeded=1)


def test_a_task_beside_its_function_is_called_after_it(module):
    exec(example("django-rq", 0), vars(module))  # noqa: S102 - our own guide

    receipt = vars(module)["receipt"]
    receipt.enqueue(7)

    assert vars(module)["send_receipt"](7) is None
    assert receipt.module_path == f"{module.__name__}.send_receipt"
    assert drain() == Drained(succeeded=1)
