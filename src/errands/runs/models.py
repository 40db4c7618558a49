"""The tables of runs. Who may write which row is said in ``handover``."""

import io
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, Self

from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from errands.exact import ExactField
from errands.runs.states import ENDED, OPEN, State
from errands.runs.stored import RunResults
from errands.sidecar import sidecar_model
from errands.text import LINE_LIMIT

JUST_NOW = timedelta(seconds=10)
NAME_LIMIT = 100
PATH_LIMIT = 255
ID_LIMIT = 255


class RunQuerySet(models.QuerySet["Run"]):
    """What runs can be asked for."""

    def open(self) -> Self:
        """Keep the runs that have not ended."""
        return self.filter(state__in=OPEN)

    def visible_to(self, user: Any) -> Self:
        """Keep the runs a user owns or was granted; nobody sees none.

        Who has the permission to view every run sees any other by its address,
        and not here: this is the list of one's own.
        """
        if user is None or isinstance(user, AnonymousUser) or user.pk is None:
            return self.none()
        granted = Grant.objects.filter(run=OuterRef("pk"), user=user.pk)
        return self.filter(Q(owner=user.pk) | Exists(granted))

    def about(self, instance: models.Model) -> Self:
        """Keep the runs whose subject is this instance."""
        return self.filter(**subject_fields(instance))

    def of_task(self, run_id: object, dispatch: object, task_id: str) -> Self:
        """Keep the open run that this task is responsible for.

        That is the task which took it over, and until one has, the one that
        was recorded as dispatched; ``""`` as long as none was.
        """
        is_responsible = Q(task_id=None, dispatched_task=task_id or None)
        if task_id:
            is_responsible |= Q(task_id=task_id)
        return self.open().filter(is_responsible, pk=run_id, dispatch=dispatch)


def subject_fields(instance: models.Model) -> dict[str, str]:
    """Return the fields of a run that refer to its subject."""
    if not isinstance(instance, models.Model):
        raise TypeError(
            f"subject is {instance!r:.50}; it takes the record that the run is about."
        )
    label = instance._meta.concrete_model._meta.label_lower  # type: ignore[union-attr]
    return {"subject_model": label, "subject_pk": str(instance.pk)}


class Run(models.Model):
    """One start of a job: who, with what, how far, and how it ended."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = ExactField(max_length=PATH_LIMIT)
    owner = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    subject_model = ExactField(max_length=NAME_LIMIT, blank=True)
    subject_pk = ExactField(max_length=ID_LIMIT, blank=True)
    arguments = models.TextField(default="{}")

    backend = ExactField(max_length=NAME_LIMIT, default="default")
    queue_name = ExactField(max_length=NAME_LIMIT, default="jobs")
    priority = models.SmallIntegerField(default=0)
    run_after = models.DateTimeField(null=True, blank=True)
    language = models.CharField(max_length=35, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    base_url = models.CharField(max_length=PATH_LIMIT, blank=True)
    result_expires = models.DurationField(null=True, blank=True)

    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    title = models.CharField(max_length=LINE_LIMIT, blank=True)
    status = models.CharField(max_length=LINE_LIMIT, blank=True)
    is_interrupted = models.BooleanField(default=False)

    unique_key = ExactField(max_length=64, null=True, blank=True, unique=True)

    dispatch = models.PositiveIntegerField(default=1)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    dispatched_task = ExactField(max_length=ID_LIMIT, null=True, blank=True)
    task_id = ExactField(max_length=ID_LIMIT, null=True, blank=True)
    token = models.BigIntegerField(default=0)
    attempt = models.PositiveIntegerField(default=0)

    error_message = models.TextField(blank=True)
    error_reference = models.CharField(max_length=NAME_LIMIT, blank=True)
    outcome = models.TextField(blank=True)
    checkpoint = models.TextField(blank=True)
    version = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True, db_index=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        db_table = "errands_run"
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        indexes = [
            models.Index(fields=["owner", "-created_at"], name="errands_run_owner"),
            models.Index(fields=["state", "created_at"], name="errands_run_state"),
            models.Index(
                fields=["subject_model", "subject_pk"], name="errands_run_subject"
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.job

    def get_absolute_url(self) -> str:
        """Return the address of the run's page."""
        return reverse("errands:run", args=[self.pk])

    @property
    def has_just_ended(self) -> bool:
        """Whether it ended in the last ten seconds, perhaps before its page was there."""
        ended_at = self.finished_at
        return ended_at is not None and timezone.now() - ended_at < JUST_NOW

    @property
    def is_finished(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.state in ENDED

    @property
    def is_expired(self) -> bool:
        """Whether the results are no longer available."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def reference(self) -> str:
        """What the owner of a failed run can quote: ``0B6F41C2-2``.

        The start of the run's id and the attempt; the log line of the failure
        has it too.
        """
        return f"{self.pk.hex[:8].upper()}-{self.attempt}"

    @property
    def responsible_task(self) -> str:
        """The id of the task whose end ends an open run; empty before one is."""
        return self.task_id or self.dispatched_task or ""

    @property
    def results(self) -> RunResults:
        """The results by name: ``run.results["orders.csv"].open()``."""
        return RunResults(self)

    def grant(self, user: Any) -> None:
        """Make the run available to somebody else, in whose list it appears."""
        if getattr(user, "pk", None) is None:
            raise TypeError(f"grant({user!r:.50}): it takes a user who has an account.")
        Grant.objects.get_or_create(run=self, user=user)

    def cancel(self) -> None:
        """End the run at once if it waits, ask its attempt to stop if it runs.

        A run that has ended stays as it is. The instance shows the new state.
        """
        from errands.runs.cancelling import cancel

        cancel(self)


class Grant(models.Model):
    """A run made available to somebody besides its owner."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="grants")
    user = models.ForeignKey(
        django_settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "errands_grant"
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = [
            models.UniqueConstraint(
                fields=["run", "user"], name="errands_grant_once_per_user"
            )
        ]


class RunResult(models.Model):
    """A named result: a file in a storage, or a small one in the row."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="result_rows")
    name = ExactField(max_length=NAME_LIMIT)
    file_name = models.CharField(max_length=150)
    content_type = models.CharField(max_length=PATH_LIMIT)
    size = models.PositiveBigIntegerField()
    storage = ExactField(max_length=NAME_LIMIT, blank=True)
    key = ExactField(max_length=PATH_LIMIT, blank=True)
    content = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "errands_runresult"
        verbose_name = _("result of a run")
        verbose_name_plural = _("results of runs")
        constraints = [
            models.UniqueConstraint(
                fields=["run", "name"], name="errands_runresult_once_per_name"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def open(self) -> IO[bytes]:
        """Open the result for reading bytes; the caller closes it."""
        if self.key:
            return self._stored_in.open(self.key, "rb")
        return io.BytesIO(bytes(self.content or b""))

    @property
    def text(self) -> str:
        """The whole result, read as UTF-8."""
        with self.open() as file:
            return file.read().decode("utf-8")

    @property
    def url(self) -> str:
        """The storage's own address of the file; empty for one in the row.

        Whoever has it may need nothing else to read the file.
        """
        return self._stored_in.url(self.key) if self.key else ""

    @contextmanager
    def as_path(self) -> Iterator[Path]:
        """Give a local file for the length of a block; do not write to it."""
        if self.key and (path := self._local_path()):
            yield path
            return
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "result")
            with self.open() as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            yield path

    def _local_path(self) -> Path | None:
        try:
            return Path(self._stored_in.path(self.key))
        except NotImplementedError:
            # Django's way to say that the storage keeps no local files.
            return None

    @property
    def _stored_in(self) -> Storage:
        return storages[self.storage]


@sidecar_model
class Progress(models.Model):
    """How far an attempt has come; lives in the sidecar.

    No foreign keys, and instants are seconds since the epoch: the row is
    written in plain SQL that is the same on every database.
    """

    run_id = ExactField(primary_key=True, max_length=32)
    dispatch = models.IntegerField()
    token = models.BigIntegerField()
    attempt = models.IntegerField()
    current = models.BigIntegerField()
    total = models.BigIntegerField(null=True)
    percent = models.SmallIntegerField(null=True)
    failed = models.BigIntegerField()
    status = models.CharField(max_length=LINE_LIMIT)
    step = models.CharField(max_length=LINE_LIMIT)
    log = models.TextField()
    rate = models.FloatField(null=True)
    first_at = models.FloatField()
    updated_at = models.FloatField()
    version = models.BigIntegerField()

    class Meta:
        db_table = "errands_progress"
        verbose_name = _("progress")
        verbose_name_plural = _("progress")
