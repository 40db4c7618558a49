"""A process that starts a worker and ends as soon as a task runs."""

import time

import django

django.setup()

from errands import start_worker  # noqa: E402
from errands.queue.models import TaskRow  # noqa: E402
from errands.queue.states import TaskState  # noqa: E402

start_worker(threads=1)
while not TaskRow.objects.filter(state=TaskState.RUNNING).exists():
    time.sleep(0.01)
