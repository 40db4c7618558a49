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

from errands.exact import ExactField
from errands.queue.fields import InstantField
from errands.queue.indexes import PartialIndex
from errands.queue.limits import NAME_LIMIT, PATH_LIMIT
from errands.queue.states import ResultStatus, TaskState
from errands.sidecar import sidecar_model
from errands.tasks.keys import KEY_LIMIT


class StoredTask(models.Model):
    """What a live and a finished task have in common."""

    uuid = models.UUIDField(unique=True)
    queue = ExactField(max_length=NAME_LIMIT)
    rank = models.SmallIntegerField(
        # RANK is a reserved word of MySQL 8.
        db_column="precedence",
        help_text="The priority negated: low goes first.",
    )
    path = ExactField(max_length=PATH_LIMIT)
    payload = models.TextField()
    enqueued_at = InstantField()
    run_at = InstantField(null=True)
    started_at = InstantField(null=True)
    claimed_at = InstantField(null=True)
    attempt = models.IntegerField(default=0)
    max_attempts = models.IntegerField()
    crashes = models.SmallIntegerField(default=0)
    token = models.IntegerField(default=0)
    errors = models.TextField(default="[]")
    worker_ids = models.TextField(default="[]")
    metadata = models.TextField(default="{}", db_default="{}")
    unique_key = ExactField(max_length=KEY_LIMIT, null=True)
    concurrency_key = ExactField(max_length=KEY_LIMIT, null=True)
    concurrency_limit = models.IntegerField(null=True)
    at_most_once = models.BooleanField(default=False, db_default=False)

    class Meta:
        abstract = True


class TaskRow(StoredTask):
    """A task that has not ended."""

    id = models.BigAutoField(primary_key=True)
    state = models.SmallIntegerField(choices=TaskState)
    releases = models.SmallIntegerField(default=0)
    worker = ExactField(max_length=32, null=True)
    slot = models.IntegerField(null=True)
    cancel_requested_at = InstantField(null=True)

    class Meta:
        db_table = "errands_task"
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        indexes = [
            # Claiming reads one of these two and nothing else.
            PartialIndex(
                fields=["queue", "rank", "id"],
                condition=Q(state=TaskState.READY),
                led_by=("state",),
                name="errands_task_ready_in_queue",
            ),
            PartialIndex(
                fields=["rank", "id"],
                condition=Q(state=TaskState.READY),
                led_by=("state",),
                name="errands_task_ready",
            ),
            PartialIndex(
                fields=["run_at"],
                condition=Q(state=TaskState.SCHEDULED),
                led_by=("state",),
                name="errands_task_scheduled",
            ),
            PartialIndex(
                fields=["worker"],
                condition=Q(state=TaskState.RUNNING),
                name="errands_task_running",
            ),
            PartialIndex(
                fields=["concurrency_key", "rank", "id"],
                condition=Q(state=TaskState.BLOCKED),
                led_by=("state",),
                name="errands_task_blocked",
            ),
            PartialIndex(
                fields=["rank", "id"],
                condition=Q(state=TaskState.SUSPECT),
                led_by=("state",),
                name="errands_task_suspect",
            ),
            # These two are what `unique` and `concurrency` rest on.
            PartialIndex(
                fields=["unique_key"],
                condition=Q(unique_key__isnull=False),
                unique=True,
                name="errands_task_unique_key",
            ),
            PartialIndex(
                fields=["concurrency_key", "slot"],
                condition=Q(slot__isnull=False),
                unique=True,
                name="errands_task_slot",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.uuid})"


class ResultRow(StoredTask):
    """A task that has ended, under the id it had as a live one."""

    id = models.BigIntegerField(primary_key=True)
    status = models.SmallIntegerField(choices=ResultStatus)
    finished_at = InstantField()
    return_value = models.TextField(null=True)
    expires_at = InstantField(null=True)

    class Meta:
        db_table = "errands_result"
        verbose_name = _("result")
        verbose_name_plural = _("results")
        indexes = [
            models.Index(fields=["status", "finished_at"], name="errands_result_age"),
            PartialIndex(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False),
                name="errands_result_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.uuid})"


@sidecar_model
class WorkerRow(models.Model):
    """One boot of a worker process; ``expires_at`` decides whether it lives."""

    id = ExactField(primary_key=True, max_length=32)
    name = ExactField(max_length=NAME_LIMIT)
    host = ExactField(max_length=PATH_LIMIT)
    pid = models.IntegerField()
    boot = ExactField(max_length=PATH_LIMIT)
    supervisor = ExactField(max_length=PATH_LIMIT, db_default="")
    started_at = InstantField()
    expires_at = InstantField()

    class Meta:
        db_table = "errands_worker"
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.name


class QueueRow(models.Model):
    """A queue somebody has paused; one without a row runs."""

    name = ExactField(primary_key=True, max_length=NAME_LIMIT)
    paused_at = InstantField()

    class Meta:
        db_table = "errands_queue"
        verbose_name = _("queue")
        verbose_name_plural = _("queues")

    def __str__(self) -> str:
        return self.name


@sidecar_model
class RateRow(models.Model):
    """How far a rate is used up: microseconds since 1970 of the database's clock.

    ``free_at`` is when the rate allows the next start (the theoretical arrival
    time of a leaky bucket), ``hint_at`` when to come back for one.
    """

    key = ExactField(primary_key=True, max_length=KEY_LIMIT)
    free_at = models.BigIntegerField()
    hint_at = models.BigIntegerField()

    class Meta:
        db_table = "errands_rate"
        verbose_name = _("rate")
        verbose_name_plural = _("rates")

    def __str__(self) -> str:
        return self.key
