"""What a task knows of its attempt, and the metadata it may change."""

from typing import Any

import pytest
from django.test import override_settings

from errands import ArgumentError, TaskContext, current_context, task
from errands.exceptions import LeaseLost
from errands.tasks.attempt import perform
from errands.tasks.context import attempting, dump_metadata
from errands.tasks.outcomes import Failed, Succeeded
from tests.tasks.test_attempt import result_of
from tests.testapp import tasks


@task(takes_context=True, max_attempts=1)
def count_up(context: TaskContext, save: bool = False) -> int:
    """Count in the metadata."""
    context.metadata["count"] = context.metadata.get("count", 0) + 1
    if save:
        context.save_metadata()
    return context.metadata["count"]


class Angry(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("not now")


def context_with(metadata: dict[str, Any], **told: Any) -> TaskContext:
    return TaskContext(task_result=result_of(tasks.nothing), metadata=metadata, **told)


def test_metadata_is_read_and_changed_in_place():
    metadata = {"count": 41}

    context = TaskContext(task_result=result_of(count_up), metadata=metadata)

    outcome = perform(count_up, context)

    assert outcome == Succeeded(42)
    assert metadata == {"count": 42}


def test_metadata_can_be_stored_while_the_task_runs():
    saved: list[str] = []

    def save(text: str) -> bool:
        saved.append(text)
        return True

    perform(count_up, TaskContext(task_result=result_of(count_up, True), save=save))

    assert saved == ['{"count":1}']


def test_a_lost_lease_is_told_to_who_saves_metadata():
    result = result_of(count_up, True)

    outcome = perform(count_up, TaskContext(task_result=result, save=lambda text: False))

    assert isinstance(outcome, Failed)
    assert outcome.error.exception_class_path == "errands.exceptions.LeaseLost"


async def test_metadata_can_be_stored_from_async_code():
    context = context_with({"a": 1}, save=lambda text: text != '{"a":1}')

    with pytest.raises(LeaseLost):
        await context.asave_metadata()


@pytest.mark.parametrize(
    "metadata",
    [{"a": object()}, {"a": float("nan")}, {"a": Angry(b=1)}],
    ids=["object", "nan", "angry"],
)
def test_metadata_that_is_no_json_is_refused_and_says_so(metadata):
    with pytest.raises(ArgumentError, match="metadata cannot be stored as JSON"):
        dump_metadata(metadata)


def test_too_much_metadata_is_refused_and_says_how_much_is_not():
    assert len(dump_metadata({"a": "x" * 65_528})) == 65_536

    with pytest.raises(ArgumentError, match="65,537 characters of JSON; at most 65,536"):
        dump_metadata({"a": "x" * 65_529})


def test_metadata_that_holds_itself_is_refused():
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata

    with pytest.raises(ArgumentError, match="metadata cannot be stored as JSON"):
        dump_metadata(metadata)


def test_nul_and_surrogates_stay_escaped():
    text = dump_metadata({"a": "\0\ud800"})

    assert text.isascii()
    assert "\0" not in text


def test_without_an_engine_saving_does_nothing():
    context_with({"a": 1}).save_metadata()


def test_contexts_are_nested_and_restored():
    outer, inner = context_with({}), context_with({})

    with attempting(outer):
        with attempting(inner):
            assert current_context() is inner
        assert current_context() is outer
    assert current_context() is None


@override_settings(
    TASKS={
        "default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"},
    }
)
def test_on_another_engine_metadata_is_what_the_call_begins_with():
    result = count_up.using(metadata={"count": 6}).enqueue(save=True)

    assert result.return_value == 7
    assert count_up.options.metadata == {}
