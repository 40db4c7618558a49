"""The examples of the queue's guide that act on it or look at it."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.tasks import TaskResultStatus

from errands.queue.states import TaskState
from errands.testing import drain
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "queue.md"


def run_example(section: str, **names: Any) -> dict[str, Any]:
    """Run the first example of a section; return the names it has then."""
    _, text = GUIDE.read_text().split(f"## {section}\n", 1)
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block
    exec(compile(block[1], f"{GUIDE.name}: {section}", "exec"), names)  # noqa: S102
    return names


def test_what_waits_and_what_has_failed_can_be_looked_at():
    tasks.fail_once.using(max_attempts=1).enqueue()
    drain(raise_errors=False)
    tasks.nothing.enqueue()

    shown = run_example("Look at it")

    assert list(shown["waiting"]) == [
        {"queue": "default", "state": TaskState.READY, "n": 1}
    ]
    assert [row.path for row in shown["failed"]] == [tasks.fail_once.module_path]


def test_a_queue_is_paused_and_a_task_discarded():
    result = tasks.nothing.enqueue()

    run_example("Pause, retry, discard", result=result)

    result.refresh()
    assert result.status == TaskResultStatus.FAILED


def test_a_task_is_cancelled():
    result = tasks.nothing.enqueue()

    run_example("Cancel", result=result)

    result.refresh()
    assert result.status == TaskResultStatus.FAILED
