"""The queue's tables.

``errands_task`` holds live rows only, so its indexes stay as small as the
backlog; finished ones move to ``errands_result``, which is append-only. The
engine writes both in SQL of its own (``statements/``); the models are here for
migrations, the admin and reading.

Texts named payload, errors, worker_ids and return_value are JSON kept as text:
what was written is what is read, on every database (jsonb refuses NUL).
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from errands.queue.states import ResultStatus, TaskState
from errands.sidecar import sidecar_model

NAME_LIMIT = 100
PATH_LIMIT = 255


class StoredTask(models.Model):
    """What a live and a finished task have in common."""

    uuid = models.UUIDField(unique=True)
    queue = models.CharField(max_length=NAME_LIMIT)
    rank = models.SmallIntegerField(help_text="The priority negated: low goes first.")
    path = models.CharField(max_length=PATH_LIMIT)
    payload = models.TextField()
    enqueued_at = models.DateTimeField()
    run_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    claimed_at = models.DateTimeField(null=True)
    attempt = models.IntegerField(default=0)
    max_attempts = models.IntegerField()
    crashes = models.SmallIntegerField(default=0)
    token = models.IntegerField(default=0)
    errors = models.TextField(default="[]")
    worker_ids = models.TextField(default="[]")

    class Meta:
        abstract = True


class TaskRow(StoredTask):
    """A task that has not ended."""

    id = models.BigAutoField(primary_key=True)
    state = models.SmallIntegerField(choices=TaskState)
    releases = models.SmallIntegerField(default=0)
    worker = models.CharField(max_length=32, null=True)

    class Meta:
        db_table = "errands_task"
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        indexes = [
            # Claiming reads one of these two and nothing else.
            models.Index(
                fields=["queue", "rank", "id"],
                condition=Q(state=TaskState.READY),
                name="errands_task_ready_in_queue",
            ),
            models.Index(
                fields=["rank", "id"],
                condition=Q(state=TaskState.READY),
                name="errands_task_ready",
            ),
            models.Index(
                fields=["run_at"],
                condition=Q(state=TaskState.SCHEDULED),
                name="errands_task_scheduled",
            ),
            models.Index(
                fields=["worker"],
                condition=Q(state=TaskState.RUNNING),
                name="errands_task_running",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.uuid})"


class ResultRow(StoredTask):
    """A task that has ended, under the id it had as a live one."""

    id = models.BigIntegerField(primary_key=True)
    status = models.SmallIntegerField(choices=ResultStatus)
    finished_at = models.DateTimeField()
    return_value = models.TextField(null=True)

    class Meta:
        db_table = "errands_result"
        verbose_name = _("result")
        verbose_name_plural = _("results")
        indexes = [
            models.Index(fields=["status", "finished_at"], name="errands_result_age")
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.uuid})"


@sidecar_model
class WorkerRow(models.Model):
    """One boot of a worker process; ``expires_at`` decides whether it lives."""

    id = models.CharField(primary_key=True, max_length=32)
    name = models.CharField(max_length=NAME_LIMIT)
    host = models.CharField(max_length=PATH_LIMIT)
    pid = models.IntegerField()
    boot = models.CharField(max_length=PATH_LIMIT)
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "errands_worker"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name
