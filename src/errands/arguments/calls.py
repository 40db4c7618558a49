"""Whole calls: positional and keyword arguments, encoded and decoded together."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from errands.arguments.decoding import Decoder
from errands.arguments.encoding import Encoder, Wire
from errands.exceptions import ArgumentError

MAX_CALL_BYTES = 1024 * 1024
BYTES_PER_CHARACTER = 12
LONGEST_NUMBER = 40


def encode_call(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
) -> tuple[list[Wire], dict[str, Wire]]:
    """Encode the arguments of one call: at most 1 MiB of JSON.

    ``names`` are the parameters' names, by position; an ``ArgumentError``
    names the argument by them, or by its position from 1.
    """
    subjects = _subjects(tuple(names or ()), len(args))
    wire_args = [
        Encoder(subject).encode(value)
        for subject, value in zip(subjects, args, strict=False)
    ]
    wire_kwargs = {
        name: Encoder(f"Argument {name!r}").encode(value)
        for name, value in kwargs.items()
    }
    _check_size(wire_args, wire_kwargs)
    return wire_args, wire_kwargs


def decode_call(
    args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Decode the arguments of one call.

    All records it refers to are read with one query per model and database;
    a record that is referred to twice is one instance.
    """
    if not args and not kwargs:
        return [], {}
    decoder = Decoder.prepared_for([*args, *kwargs.values()])
    return (
        [decoder.decode(wire) for wire in args],
        {name: decoder.decode(wire) for name, wire in kwargs.items()},
    )


@lru_cache(maxsize=4096)
def _subjects(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    rest = (f"Argument {index + 1}" for index in range(len(names), count))
    return *(f"Argument {name!r}" for name in names), *rest


def _is_small(wires: Iterable[Wire]) -> bool:
    """Return whether these are certainly small enough, without writing them."""
    size = 0
    for wire in wires:
        if isinstance(wire, list | dict):
            return False
        size += LONGEST_NUMBER
        if isinstance(wire, str):
            size += len(wire) * BYTES_PER_CHARACTER
    return size <= MAX_CALL_BYTES


def _check_size(args: list[Wire], kwargs: dict[str, Wire]) -> None:
    if _is_small([*args, *kwargs, *kwargs.values()]):
        return
    size = len(json.dumps([args, kwargs], separators=(",", ":")))
    if size > MAX_CALL_BYTES:
        raise ArgumentError(
            f"The arguments are {size:,} bytes of JSON, and at most "
            f"{MAX_CALL_BYTES:,} can be carried. Save what is large to a storage or "
            "a model and pass its name or primary key."
        )
