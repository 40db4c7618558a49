"""The keys of a call: what makes it unique, or shares a limit or a rate.

A key is computed from the encoded arguments when the call is enqueued, so it
is the same in every process. In ``"account:{account}"`` the argument of that
name is filled in: a plain value as text, a record as its model and primary key.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from errands.arguments import encode
from errands.tasks.signature import call_signature
from errands.tasks.task import Task
from errands.tasks.templates import placeholders
from errands.text import clean_line

KEY_LIMIT = 100


def unique_key(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Return what no other live task may have; None where that is not asked for.

    The same function with the same arguments, or with the same of those named,
    or with the same text that a template gives, has the same key.
    """
    unique = task.options.unique
    if not unique:
        return None
    told: Any = _bound(task, args, kwargs)
    if isinstance(unique, str):
        told = _filled_in(unique, told)
    elif isinstance(unique, tuple):
        told = {name: told[name] for name in unique}
    text = json.dumps([task.module_path, told], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def shared_key(
    template: str, task: Task, call: tuple[Sequence[Any], Mapping[str, Any]]
) -> str:
    """Return the key under which calls share a limit or a rate.

    One that is too long ends in its digest.
    """
    key = _filled_in(template, _bound(task, *call))
    if len(key) <= KEY_LIMIT and key == clean_line(key):
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{clean_line(key, KEY_LIMIT - 33)} {digest}"


def _filled_in(template: str, bound: Mapping[str, Any]) -> str:
    names = placeholders(template)
    return template.format_map({name: _shown(bound[name]) for name in names})


def _shown(wire: Any) -> str:
    if isinstance(wire, dict) and "$" in wire:
        wire = wire.get("v")
        if isinstance(wire, list):
            return ":".join(str(part) for part in wire)
    return wire if isinstance(wire, str) else json.dumps(wire, sort_keys=True)


def _bound(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return encoded arguments by name, those left out with their defaults."""
    called = call_signature(task.func, skipped=int(task.takes_context))
    bound = called.bind(*args, **kwargs)
    given = set(bound.arguments)
    bound.apply_defaults()
    return {
        name: value if name in given else encode(value)
        for name, value in bound.arguments.items()
    }
