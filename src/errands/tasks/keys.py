"""The keys of a call: what makes it unique, or shares a limit or a rate.

A key is computed from the encoded arguments when the call is enqueued, so it
is the same in every process. In ``"account:{account}"`` the argument of that
name is filled in: a plain value as text, a record as its model and primary key.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from errands.arguments.encoding import Encoder, Wire, encode
from errands.exceptions import ArgumentError
from errands.tasks.task import Call, Task
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
    call = args, kwargs
    told: Any
    if isinstance(unique, str):
        told = _filled_in(unique, task, call)
    else:
        names = unique if isinstance(unique, tuple) else None
        told = _bound(task, call, names=names)
    text = json.dumps([task.module_path, told], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def shared_key(template: str, task: Task, call: Call) -> str:
    """Return the key under which calls share a limit or a rate.

    One that is too long ends in its digest.
    """
    return fitting(_filled_in(template, task, call))


def fitting(key: str) -> str:
    """Return a key as the column holds it; one that is too long ends in a digest."""
    if len(key) <= KEY_LIMIT and key == clean_line(key):
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{clean_line(key, KEY_LIMIT - 33)} {digest}"


def _filled_in(template: str, task: Task, call: Call) -> str:
    names = placeholders(template)
    bound = _bound(task, call, names=names) if names else {}
    return template.format_map({name: _shown(wire) for name, wire in bound.items()})


def _shown(wire: Any) -> str:
    if isinstance(wire, dict) and "$" in wire:
        wire = wire.get("v")
        if isinstance(wire, list):
            return ":".join(str(part) for part in wire)
    return wire if isinstance(wire, str) else json.dumps(wire, sort_keys=True)


def _bound(task: Task, call: Call, *, names: Collection[str] | None) -> dict[str, Any]:
    """Return encoded arguments by name, those left out with their defaults.

    Only those of ``names``, unless that is None: the default of an argument
    that the key does not name need not be one that can be carried.
    """
    args, kwargs = call
    bound = task.call_signature.bind(*args, **kwargs)
    given = bound.arguments
    bound.apply_defaults()
    return {
        name: given[name] if name in given else _default(name, value)
        for name, value in bound.arguments.items()
        if names is None or name in names
    }


def _default(name: str, value: Any) -> Wire:
    try:
        return encode(value)
    except ArgumentError:
        # Once more, to be told whose it is: a name for each costs too much.
        return Encoder(f"The default of {name!r}").encode(value)
