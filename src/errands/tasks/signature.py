"""A call is checked against the function's signature before it is stored."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from functools import lru_cache
from inspect import Parameter, Signature, iscoroutinefunction, signature
from math import inf
from typing import Any, NamedTuple

from errands.exceptions import SignatureMismatch
from errands.text import did_you_mean

if sys.version_info >= (3, 14):
    from annotationlib import Format

SHOWN = 5
NO_ARGUMENTS = (str, bytes, bytearray, Mapping, Set)
POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return a function's signature, whatever its annotations name.

    From Python 3.14 on they are evaluated when they are asked for; a name that is
    imported for type checkers only would raise ``NameError``.
    """
    if sys.version_info >= (3, 14):
        return signature(function, annotation_format=Format.FORWARDREF)
    return signature(function)


@lru_cache(maxsize=4096)
def call_signature(function: Callable[..., Any], *, skipped: int = 0) -> Signature:
    """Return the signature a caller sees, without its first parameters.

    ``skipped`` leaves out what the caller does not pass: ``context`` or
    ``self``.
    """
    full = signature_of(function)
    return full.replace(parameters=list(full.parameters.values())[skipped:])


@lru_cache(maxsize=4096)
def is_coroutine(function: Callable[..., Any]) -> bool:
    """Return whether a function is async; asked for each task that runs."""
    return iscoroutinefunction(function)


class CallShape(NamedTuple):
    """What a signature allows by position alone."""

    names: tuple[str, ...]
    """Of the parameters that can be passed by position."""
    fewest: float
    most: float


@lru_cache(maxsize=4096)
def call_shape(function: Callable[..., Any], *, skipped: int = 0) -> CallShape:
    """Return the shape of a call: where it fits, the signature need not be asked."""
    parameters = call_signature(function, skipped=skipped).parameters.values()
    names = tuple(p.name for p in parameters if p.kind in POSITIONAL)
    needed = [p for p in parameters if p.default is Parameter.empty]
    required = [p for p in needed if p.kind in POSITIONAL]
    takes_any = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    needs_keywords = any(p.kind is Parameter.KEYWORD_ONLY for p in needed)
    fewest = inf if needs_keywords else len(required)
    return CallShape(names, fewest, inf if takes_any else len(names))


def check_call(
    called: Signature, args: Sequence[Any], kwargs: Mapping[str, Any], *, name: str
) -> None:
    """Raise ``SignatureMismatch`` unless the arguments fit."""
    try:
        called.bind(*args, **kwargs)
    except TypeError as mismatch:
        told = _misspelt(called, kwargs) or f"{mismatch}."
        raise SignatureMismatch(f"{name}{_shown(called)}: {told}") from None


def check_calls(calls: object) -> None:
    """Raise ``TypeError`` for what holds no calls, without a look at them."""
    kind = type(calls)
    if not (hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")):
        raise TypeError(
            f"enqueue_many() got {kind.__name__}; it takes a list of calls, each "
            "(args, kwargs) such as ((account,), {})."
        )


def check_pair(call: object, *, index: int) -> None:
    """Raise ``TypeError`` unless one of many calls is ``(args, kwargs)``."""
    match call:
        case (args, kwargs) if isinstance(kwargs, Mapping):
            if isinstance(args, Collection) and not isinstance(args, NO_ARGUMENTS):
                return
    raise TypeError(
        f"call {index} is {_kinds(call)}; it takes (args, kwargs) such as "
        "((account,), {})."
    )


def _kinds(call: object) -> str:
    """Return what a call is made of; the ``repr`` of values may run a query."""
    if not isinstance(call, tuple | list):
        return type(call).__name__
    kinds = ", ".join(type(part).__name__ for part in call[:SHOWN])
    rest = ", …" if len(call) > SHOWN else "," if len(call) == 1 else ""
    return f"({kinds}{rest})"


def _misspelt(called: Signature, kwargs: Mapping[str, Any]) -> str:
    """Return which arguments there are not, each with the one that may be meant.

    Where ``**`` takes any name, only those that look like one that is missing.
    """
    parameters = called.parameters.values()
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    free = [p.name for p in parameters if p.kind in NAMED and p.name not in kwargs]
    told: list[str] = []
    for key in kwargs:
        if key in called.parameters:
            continue
        hint = did_you_mean(key, free)
        if hint or not takes_any:
            it = "It" if told else "it"
            told.append(f"{it} has no argument {key!r}.{hint}")
    return " ".join(told)


def _shown(called: Signature) -> str:
    bare = [p.replace(annotation=Parameter.empty) for p in called.parameters.values()]
    return str(Signature(bare))
