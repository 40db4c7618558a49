"""``work_off`` in a process that dies in the middle."""

import os
import signal
import subprocess
import sys

import pytest

from errands import work_off
from errands.exceptions import TaskCrashed
from errands.queue.models import TaskRow
from tests.integration import hostile_tasks
from tests.integration.processes import ROOT, eventually

WORK_OFF = "import django; django.setup(); import errands; errands.work_off()"


@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_a_task_whose_caller_is_killed_is_rescued_by_the_next_call(settings, tmp_path):
    settings.ERRANDS = {"IMPORTS": ["tests.integration.hostile_tasks"]}
    result = hostile_tasks.hold.enqueue(str(tmp_path))
    environment = {"DJANGO_SETTINGS_MODULE": "tests.integration.settings"}
    command = [sys.executable, "-c", WORK_OFF]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    eventually((tmp_path / "started").exists, "the task started")
    row = TaskRow.objects.get()

    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "go").touch()
    worked_off = work_off()
    result.refresh()

    assert row.state == 2
    assert worked_off == (1, 0)
    assert result.errors[0].exception_class_path.startswith(TaskCrashed.__module__)
    assert len(result.worker_ids) == 1
