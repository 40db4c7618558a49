"""A call is checked against the function's signature before it is stored."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, Signature, signature
from typing import Any

from errands.exceptions import SignatureMismatch

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@lru_cache(maxsize=4096)
def call_signature(function: Callable[..., Any], *, skipped: int = 0) -> Signature:
    """Return the signature a caller sees, without its first parameters.

    ``skipped`` leaves out what the caller does not pass: ``context`` or
    ``self``.
    """
    full = signature(function)
    return full.replace(parameters=list(full.parameters.values())[skipped:])


@lru_cache(maxsize=4096)
def positional_names(called: Signature) -> tuple[str, ...]:
    """Return the names of the parameters that can be passed by position."""
    return tuple(p.name for p in called.parameters.values() if p.kind in POSITIONAL)


def check_call(
    called: Signature, args: Sequence[Any], kwargs: Mapping[str, Any], *, name: str
) -> None:
    """Raise ``SignatureMismatch`` unless the arguments fit."""
    try:
        called.bind(*args, **kwargs)
    except TypeError as mismatch:
        hint = _did_you_mean(called, kwargs)
        raise SignatureMismatch(f"{name}{_shown(called)}: {mismatch}.{hint}") from None


def _did_you_mean(called: Signature, kwargs: Mapping[str, Any]) -> str:
    for key in kwargs:
        near = difflib.get_close_matches(key, called.parameters, n=1)
        if key not in called.parameters and near:
            return f" Did you mean {near[0]!r}?"
    return ""


def _shown(called: Signature) -> str:
    bare = [p.replace(annotation=Parameter.empty) for p in called.parameters.values()]
    return str(Signature(bare))
