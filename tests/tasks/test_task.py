"""The call is checked and encoded where it is made."""

import math
import pickle  # noqa: TID251 - a task may travel to a subprocess
from datetime import date, timedelta

import pytest
from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.test import override_settings
from django.utils import timezone

from errands import ArgumentError, SignatureMismatch, Task, exponential, task
from tests.testapp import tasks
from tests.testapp.models import Account


def test_a_misspelt_argument_raises_at_the_call_and_names_the_right_one():
    with pytest.raises(SignatureMismatch) as mismatch:
        tasks.describe.enqueue(account=1, greting="hello")

    assert str(mismatch.value) == (
        "describe(account, *, greeting=''): it has no argument 'greting'. Did you mean "
        "'greeting'?"
    )


def test_each_misspelt_argument_is_named_beside_the_one_that_is_meant():
    with pytest.raises(TypeError) as mismatch:
        tasks.describe.enqueue(acount=1, greting="hello", zebra=2)

    assert str(mismatch.value) == (
        "describe(account, *, greeting=''): it has no argument 'acount'. Did you mean "
        "'account'? It has no argument 'greting'. Did you mean 'greeting'? It has no "
        "argument 'zebra'."
    )


def test_where_any_name_is_taken_a_misspelt_one_is_still_found():
    with pytest.raises(TypeError) as misspelt:
        tasks.collect.enqueue(acount=1, zebra=2)
    with pytest.raises(TypeError) as missing:
        tasks.collect.enqueue(zebra=2)

    assert str(misspelt.value) == (
        "collect(account, **others): it has no argument 'acount'. Did you mean 'account'?"
    )
    assert str(missing.value) == (
        "collect(account, **others): missing a required argument: 'account'."
    )


def test_a_missing_argument_raises_at_the_call():
    with pytest.raises(TypeError, match="missing a required argument: 'left'"):
        tasks.add.enqueue()


def test_the_context_is_not_part_of_the_callers_signature():
    with pytest.raises(TypeError, match="too many positional arguments"):
        tasks.attempt_of.enqueue(1, 2)


def test_nan_raises_at_the_call_and_names_the_argument():
    with pytest.raises(ArgumentError, match=r"'value'.*nan"):
        tasks.echo.enqueue(math.nan)


def test_an_unsaved_instance_raises_at_the_call_and_says_what_to_do():
    with pytest.raises(ArgumentError, match=r"[Ss]ave"):
        tasks.describe.enqueue(Account(name="new"))


def test_the_message_of_a_wrong_value_names_its_parameter():
    with pytest.raises(ArgumentError, match="'account'"):
        tasks.describe.enqueue(object())


def test_an_unknown_option_raises_where_the_task_is_defined():
    with pytest.raises(TypeError) as error:
        task(max_attemps=3)(tasks.never_registered)

    assert str(error.value) == (
        "Unknown task option 'max_attemps'. Did you mean 'max_attempts'?"
    )


@pytest.mark.parametrize(
    ("elsewhere", "here"),
    [
        ("queue", "queue_name"),
        ("countdown", "run_after"),
        ("retries", "max_attempts"),
        ("bind", "takes_context"),
        ("ignore_result", "keep"),
        ("rate_limit", "rate"),
        ("soft_time_limit", "timeout"),
        ("throws", "discard_on"),
    ],
)
def test_what_other_queues_call_it_is_understood(elsewhere, here):
    with pytest.raises(TypeError, match=f"option '{elsewhere}'. Did you mean '{here}'"):
        tasks.add.using(**{elsewhere: 1})


def test_run_after_cannot_be_given_to_the_decorator():
    with pytest.raises(TypeError, match="run_after cannot be defined statically"):
        task(run_after=timezone.now())(tasks.never_registered)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", 10**20])
def test_max_attempts_is_a_whole_number_within_reason(value):
    with pytest.raises(ValueError, match="max_attempts is"):
        task(max_attempts=value)(tasks.never_registered)


def test_using_takes_our_options_and_leaves_the_task_as_it_was():
    patient = tasks.add.using(max_attempts=9, priority=3)

    assert (patient.options.max_attempts, patient.priority) == (9, 3)
    assert (tasks.add.options.max_attempts, tasks.add.priority) == (3, 0)


def test_using_refuses_an_option_that_the_worker_would_not_see():
    with pytest.raises(TypeError, match=r"Set it in @task\(backoff=…\)"):
        tasks.add.using(backoff=exponential())


def test_using_returns_the_same_task_for_the_same_settings():
    assert tasks.add.using() == tasks.add
    assert tasks.add.using(priority=1) != tasks.add


@pytest.mark.parametrize("name", ["delay", "apply_async"])
def test_a_call_that_celery_knows_is_told_by_its_name(name):
    with pytest.raises(AttributeError, match=f"'Task' object has no attribute '{name}'"):
        getattr(tasks.add, name)


def test_a_timedelta_counts_from_the_moment_of_enqueueing():
    tomorrow = tasks.add.using(run_after=timedelta(days=1))

    before = timezone.now()
    due = tomorrow.due()

    assert tomorrow.run_after is None
    assert due.run_after is not None
    assert timedelta(0) <= due.run_after - before - timedelta(days=1) < timedelta(hours=1)


@pytest.mark.parametrize(
    ("delay", "year"), [(timedelta.max, 9998), (timedelta.min, 2)], ids=str
)
def test_a_delay_beyond_the_calendar_ends_where_every_zone_can_show_it(delay, year):
    due = tasks.add.using(run_after=delay).due()

    assert due.run_after is not None
    assert timezone.is_aware(due.run_after)
    assert due.run_after.year == year


@override_settings(USE_TZ=False)
def test_a_delay_beyond_the_calendar_is_naive_where_the_site_is():
    due = tasks.add.using(run_after=timedelta.max).due()

    assert due.run_after is not None
    assert timezone.is_naive(due.run_after)


def test_a_naive_instant_is_refused():
    with pytest.raises(InvalidTask, match="aware"):
        tasks.add.using(run_after=timezone.now().replace(tzinfo=None))


@pytest.mark.parametrize("run_after", [5, "tomorrow", date(2999, 1, 1)])
def test_run_after_is_an_instant_or_a_delay(run_after):
    with pytest.raises(TypeError, match="it takes an aware datetime, or a timedelta"):
        tasks.add.using(run_after=run_after)


def test_a_task_survives_pickling():
    assert pickle.loads(pickle.dumps(tasks.add)) == tasks.add  # noqa: S301


def test_a_task_that_is_pickled_has_the_back_off_of_the_code():
    changed = tasks.patient.using(max_attempts=7, priority=3, metadata={"tenant": 7})

    read = pickle.loads(pickle.dumps(changed))  # noqa: S301

    assert read == changed
    assert read.options.backoff is tasks.patient.options.backoff


def test_options_break_no_import_under_other_backends():
    for backend in ("immediate", "dummy"):
        made = task(max_attempts=9, backend=backend)(tasks.never_registered)

        assert isinstance(made, Task)
        assert made.options.max_attempts == 9


@pytest.mark.parametrize("name", ["immediate.ImmediateBackend", "dummy.DummyBackend"])
def test_djangos_backends_take_any_queue_once_they_are_told_to(name):
    told = {"BACKEND": f"django.tasks.backends.{name}"}
    send = task(queue_name="mail")

    with override_settings(TASKS={"default": told | {"QUEUES": []}}):
        made = send(tasks.never_registered)
    with (
        override_settings(TASKS={"default": told}),
        pytest.raises(InvalidTask) as refusal,
    ):
        send(tasks.never_registered)

    assert made.queue_name == "mail"
    assert str(refusal.value) == "Queue 'mail' is not valid for backend."


def test_an_immediate_task_gets_its_arguments_decoded():
    now = timezone.now()

    result = tasks.echo.using(backend="immediate").enqueue([now, {"a": 1}])

    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.args[0][0]["$"] == "datetime"


def test_many_calls_are_checked_before_the_first_is_stored():
    dummy = task_backends["dummy"]
    dummy.clear()

    with pytest.raises(SignatureMismatch):
        tasks.add.using(backend="dummy").enqueue_many([((1,), {}), ((), {})])

    assert dummy.results == []


@pytest.mark.parametrize(
    ("call", "kinds"),
    [
        ((1,), "(int,)"),
        (1, "int"),
        (None, "NoneType"),
        ("ab", "str"),
        ((), "()"),
        (((1), {}), "(int, dict)"),
        ((None, {}), "(NoneType, dict)"),
        (((1,), None), "(tuple, NoneType)"),
        (((1,), [2]), "(tuple, list)"),
        (("ab", {}), "(str, dict)"),
        ((b"ab", {}), "(bytes, dict)"),
        (({"left": 1}, {}), "(dict, dict)"),
        (({1}, {}), "(set, dict)"),
        ((1, 2, 3, 4, 5, 6), "(int, int, int, int, int, …)"),
        ({"left": 1}, "dict"),
    ],
    ids=str,
)
def test_a_call_that_is_no_pair_is_named_by_its_number(call, kinds):
    calls = [((1,), {}), call]

    with pytest.raises(TypeError) as refused:
        tasks.add.using(backend="dummy").enqueue_many(calls)

    assert str(refused.value) == (
        f"call 1 is {kinds}; it takes (args, kwargs) such as ((account,), {{}})."
    )


@pytest.mark.parametrize(
    ("calls", "kind"), [(5, "int"), (None, "NoneType"), (object, "type")]
)
def test_many_calls_that_are_none_are_refused_by_their_type(calls, kind):
    with pytest.raises(TypeError) as refused:
        tasks.add.enqueue_many(calls)

    assert str(refused.value) == (
        f"enqueue_many() got {kind}; it takes a list of calls, each (args, kwargs) such "
        "as ((account,), {})."
    )


def test_what_raises_while_calls_are_made_is_told_as_it_is():
    def calls():
        yield (1,), {}
        raise TypeError("of the site")

    with pytest.raises(TypeError, match=r"^of the site$"):
        tasks.add.enqueue_many(calls())


def test_of_many_calls_the_one_that_does_not_fit_is_numbered():
    with pytest.raises(SignatureMismatch) as mismatch:
        tasks.add.enqueue_many([((1,), {}), ((), {})])
    with pytest.raises(ArgumentError) as refused:
        tasks.echo.enqueue_many([((object(),), {})])

    assert mismatch.value.__notes__ == ["It is call 1 of enqueue_many()."]
    assert refused.value.__notes__ == ["It is call 0 of enqueue_many()."]


@pytest.mark.parametrize(
    ("alias", "told"),
    [
        ("defualt", "TASKS has no 'defualt'. Did you mean 'default'?"),
        ("x", "TASKS has no 'x'. Known: default, immediate, dummy."),
    ],
)
def test_a_backend_that_tasks_does_not_have_is_refused_with_those_it_has(alias, told):
    with pytest.raises(InvalidTaskBackend) as refused:
        tasks.add.using(backend=alias)

    assert str(refused.value) == told


@pytest.mark.parametrize("function", ["mail", 5, True, ["mail"]])
def test_what_is_no_function_is_no_task(function):
    with pytest.raises(TypeError) as refused:
        task(function)

    assert str(refused.value) == (
        f"task() got {function!r}; it takes a function. Options have names, such as "
        "@task(queue_name='mail')."
    )


def test_a_name_that_is_no_text_is_refused_as_one_that_no_argument_has():
    with pytest.raises(SignatureMismatch, match="it has no argument 1"):
        tasks.add.using(backend="dummy").enqueue_many([((1,), {1: 2})])


def test_what_goes_wrong_with_the_values_of_a_pair_is_told_as_for_one_call():
    with pytest.raises(ArgumentError, match="'value'"):
        tasks.echo.using(backend="dummy").enqueue_many([((object(),), {})])


def test_arguments_may_come_in_any_sequence():
    results = tasks.add.using(backend="dummy").enqueue_many(
        [[[1, 2], {}], (range(2), {}), ((), {"left": 3})]
    )

    assert [result.args for result in results] == [[1, 2], [0, 1], []]


def test_a_removed_queue_is_refused_when_enqueueing():
    mail = tasks.add.using(queue_name="mail", backend="dummy")

    with (
        override_settings(
            TASKS={
                "default": {"BACKEND": "errands.queue.DatabaseBackend"},
                "dummy": {
                    "BACKEND": "django.tasks.backends.dummy.DummyBackend",
                    "QUEUES": ["default"],
                },
            }
        ),
        pytest.raises(InvalidTask, match="Queue 'mail' is not valid"),
    ):
        mail.enqueue(1)
