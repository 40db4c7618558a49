"""What cannot be carried, and what to pass instead."""

from collections.abc import Iterator
from functools import partial
from io import IOBase
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from django.core.files.base import File
from django.db.models import F, Q, QuerySet
from django.db.models.manager import BaseManager
from django.http import HttpRequest, HttpResponseBase
from django.utils.datastructures import MultiValueDict

QUERY = (
    "a query is not a value. Pass the primary keys, or what selects them, and query "
    "in the task."
)
FILE = "a file cannot leave this process. Save it to a storage and pass its name."
BYTES = "bytes are not JSON. Save them to a storage and pass the name, or pass text."
REQUEST = (
    "it ends before a worker begins. Pass what the task needs of it, such as "
    "request.user."
)
FORM = (
    "it has several values for a key, where a dict has one. Pass its .dict(), which has "
    "the last of each, or dict(values.lists()), which has all."
)
CODE = "code does not travel. Pass a name the task knows what to do with."
PATH = "a path may lead elsewhere on the worker's machine. Pass str(path) if it does not."
ITERATOR = "it can be read only once, and only here. Pass a list."

REMEDIES: dict[tuple[type, ...], str] = {
    (QuerySet, BaseManager, F, Q): QUERY,
    (File, IOBase): FILE,
    (bytes, bytearray, memoryview): BYTES,
    (HttpRequest, HttpResponseBase): REQUEST,
    (MultiValueDict,): FORM,
    (FunctionType, BuiltinFunctionType, MethodType, partial, ModuleType, type): CODE,
    (PurePath,): PATH,
    (Iterator,): ITERATOR,
}

# Cannot be imported before apps are ready.
BY_NAME = {
    "django.contrib.auth.models.AnonymousUser": (
        "nobody has signed in. Pass None for nobody."
    ),
}


def refusal(value: object) -> str:
    """Say why the value is refused and what to do, without a look inside.

    Its ``repr`` is not asked: it may run a query, be huge or hold a secret.
    """
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    for types, reason in REMEDIES.items():
        if isinstance(value, types):
            return f"its type is {name}, and {reason}"
    if name in BY_NAME:
        return f"its type is {name}, and {BY_NAME[name]}"
    return (
        f"its type is {name}, which nobody registered. Pass its parts, or teach errands "
        f"with errands.register_converter({kind.__name__}, tag=…, encode=…, decode=…)."
    )
