"""From calls to rows: what is written when a task is enqueued.

One INSERT for one call and for many, in the caller's transaction if there is
one. A call whose unique key is live is not written; whoever made it gets the
result of the task that has the key. The unique index decides between two at
once: the later one waits until the earlier transaction has ended, and goes
ahead if that was rolled back.

The key can be given up while we look for its owner. Then the call is written
after all; each further round needs a task that ended in between.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import batched, pairwise
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import atomic
from django.tasks import Task as DjangoTask
from django.utils.json import normalize_json

from errands import instants
from errands.exceptions import ErrandsError
from errands.queue.claims import NO_OPTIONS, dump_call, dump_ending
from errands.queue.committing.colliding import again_after_collisions
from errands.queue.ids import new_ids
from errands.queue.limits import STATEMENT_LIMIT
from errands.queue.statements import Statements, statements_for
from errands.queue.statements.rows import (
    CallRow,
    Parameter,
    StoredResult,
    as_uuid,
    places,
)
from errands.queue.states import TaskState
from errands.queue.writing.keeping import keep_in_seconds
from errands.tasks.attempt import options_of
from errands.tasks.carried import capture
from errands.tasks.context import dump_metadata
from errands.tasks.keys import shared_key, unique_key
from errands.tasks.registry import registry
from errands.tasks.task import Call, Task, storable

ROUNDS = 5
KEYS_AT_ONCE = 500

type Owners = dict[str, StoredResult]


@dataclass(frozen=True, slots=True)
class Template:
    """What all calls of one task have in common, whenever they are made."""

    task: DjangoTask
    metadata: Mapping[str, Any]
    changed: Mapping[str, Any]
    """What ``using()`` changed and the worker has to know."""
    due_at: datetime | None
    has_keys: bool
    """Whether each call has keys of its own."""
    values: Sequence[Parameter]
    """Those of ``INSERT_COLUMNS`` that never differ."""

    @classmethod
    def of(cls, task: DjangoTask) -> "Template":
        """Return the template of a task that is valid."""
        options = options_of(task)
        values = (
            task.queue_name,
            -int(task.priority),
            task.module_path,
            options.max_attempts,
            None if options.concurrency is None else options.concurrency[1],
            options.at_most_once,
        )
        return cls(
            task,
            options.metadata,
            _changed_options(task),
            storable(task.run_after),
            bool(options.unique or options.concurrency or options.rate),
            values,
        )


class Enqueueing(NamedTuple):
    """What the calls of one task that are enqueued together have in common."""

    template: Template
    carried: Mapping[str, str]
    now: datetime
    is_later: bool
    """Whether they have to be staged before they can be claimed."""

    @classmethod
    def of(cls, template: Template) -> "Enqueueing":
        """Return one of now, in the caller's context."""
        carried, now, due_at = capture(), instants.now(), template.due_at
        return cls(template, carried, now, due_at is not None and due_at > now)

    def rows(self, calls: Sequence[Call]) -> list[CallRow]:
        """Return the calls as rows; ``ArgumentError`` for what is no JSON."""
        task, changed = self.template.task, self.template.changed
        if self.template.has_keys and isinstance(task, Task):
            return [self._keyed_row(task, call, changed) for call in calls]
        ids, ending = new_ids(len(calls)), dump_ending(self.carried, changed)
        return [
            CallRow(uuid, dump_call(args, kwargs, ending=ending))
            for uuid, (args, kwargs) in zip(ids, calls, strict=True)
        ]

    def insert(self, connection: BaseDatabaseWrapper, rows: Sequence[CallRow]) -> Owners:
        """Write the rows, but for those whose unique key is live.

        Returns the tasks that have those keys, by the id of the row left out.
        """
        insert = partial(self._insert_all, connection, rows)
        return again_after_collisions(connection, insert)

    def _insert_all(
        self, connection: BaseDatabaseWrapper, rows: Sequence[CallRow]
    ) -> Owners:
        statements = statements_for(connection)
        shared = self._shared_values(statements)
        is_unique = rows[0].unique_key is not None
        if len(rows) == 1:
            with statements.cursor(connection) as cursor:
                if statements.insert_one(cursor, shared, rows[0]):
                    return {}
        if is_unique:
            # Nobody can end in between what is not committed yet.
            with atomic(using=connection.alias), statements.cursor(connection) as cursor:
                return _insert_unless_live(statements, cursor, shared=shared, rows=rows)
        chunks = _chunks(rows)
        together = atomic(using=connection.alias) if len(chunks) > 1 else nullcontext()
        with together, statements.cursor(connection) as cursor:
            for chunk in chunks:
                _insert(statements, cursor, shared=shared, rows=chunk)
        return {}

    def _keyed_row(self, task: Task, call: Call, options: Mapping[str, Any]) -> CallRow:
        (args, kwargs), rate, limit = call, task.options.rate, task.options.concurrency
        if rate is not None:
            options = {**options, "rate": [shared_key(rate[0], task, call), rate[1]]}
        return CallRow(
            new_ids(1)[0],
            dump_call(args, kwargs, ending=dump_ending(self.carried, options)),
            unique_key=unique_key(task, args, kwargs),
            concurrency_key=None if limit is None else shared_key(limit[0], task, call),
        )

    def _shared_values(self, statements: Statements) -> list[Parameter]:
        metadata, due_at = self.template.metadata, self.template.due_at
        return [
            *self.template.values,
            statements.value(self.now),
            None if due_at is None else statements.value(due_at),
            TaskState.SCHEDULED if self.is_later else TaskState.READY,
            dump_metadata(dict(metadata)) if metadata else "{}",
        ]


def plain_calls(calls: Sequence[Call]) -> Sequence[Call]:
    """Return calls of a task of Django's as plain JSON, as those of ours are."""
    plain: Any = normalize_json
    return [
        (plain(args) if args else [], plain(kwargs) if kwargs else {})
        for args, kwargs in calls
    ]


def _chunks(rows: Sequence[CallRow]) -> list[Sequence[CallRow]]:
    """Cut rows so that none of the statements is too long for a server."""
    if len(rows) == 1:
        return [rows]
    ends, size = [], 0
    for index, row in enumerate(rows):
        size += len(row.payload)
        if size > STATEMENT_LIMIT:
            ends.append(index)
            size = len(row.payload)
    edges = [0, *filter(None, ends), len(rows)]
    return [rows[start:end] for start, end in pairwise(edges)]


def _in_key_order(chunks: list[Sequence[CallRow]]) -> list[Sequence[CallRow]]:
    """Keep the order of keys across statements too: it prevents deadlocks."""
    if len(chunks) == 1:
        return chunks
    rows = [row for chunk in chunks for row in chunk]
    return _chunks(sorted(rows, key=lambda row: str(row.unique_key)))


def _insert(
    statements: Statements,
    cursor: CursorWrapper,
    *,
    shared: Sequence[Parameter],
    rows: Sequence[CallRow],
) -> None:
    if len(rows) == 1:
        statements.insert_one(cursor, shared, rows[0])
    else:
        statements.insert_many(cursor, shared, rows)


def _insert_unless_live(
    statements: Statements,
    cursor: CursorWrapper,
    *,
    shared: Sequence[Parameter],
    rows: Sequence[CallRow],
) -> Owners:
    first: dict[str, CallRow] = {}
    for row in rows:
        first.setdefault(str(row.unique_key), row)
    missing = list(first.values())
    owners: dict[str, StoredResult] = {}
    for _ in range(ROUNDS):
        for chunk in _in_key_order(_chunks(missing)):
            _insert(statements, cursor, shared=shared, rows=chunk)
        live = _live(cursor, [str(row.unique_key) for row in missing])
        found = statements.read(cursor, list(live.values()))
        owners |= {key: found[uuid] for key, uuid in live.items() if uuid in found}
        missing = [row for row in missing if row.unique_key not in owners]
        if not missing:
            break
    else:
        raise ErrandsError(
            f"{len(missing)} tasks with the same unique keys as these calls ended, each "
            f"time another one, while they were enqueued. Try again."
        )
    by_row = {row.uuid: owners[str(row.unique_key)] for row in rows}
    return {uuid: owner for uuid, owner in by_row.items() if owner.uuid.hex != uuid}


def _live(cursor: CursorWrapper, keys: Sequence[str]) -> dict[str, UUID]:
    """Return the ids of the live tasks that have these unique keys."""
    found: dict[str, UUID] = {}
    for some in batched(keys, KEYS_AT_ONCE):
        cursor.execute(
            "SELECT unique_key, uuid FROM errands_task "
            f"WHERE unique_key IN ({places(some)})",
            some,
        )
        found |= {key: as_uuid(uuid) for key, uuid in cursor.fetchall()}
    return found


def _changed_options(task: DjangoTask) -> Mapping[str, Any]:
    if not isinstance(task, Task):
        return NO_OPTIONS
    known = registry.find(task.module_path)
    if not isinstance(known, Task) or known.options is task.options:
        return NO_OPTIONS
    changed: dict[str, Any] = {}
    if task.options.timeout != known.options.timeout:
        timeout = task.options.timeout
        changed["timeout"] = None if timeout is None else timeout.total_seconds()
    if task.options.keep != known.options.keep:
        changed["keep"] = keep_in_seconds(task.options.keep)
    return changed
