"""Whether what a task's options name exists in its function."""

from collections.abc import Callable, Iterator
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from string import Formatter
from typing import Any

from errands.tasks.options import TaskOptions
from errands.tasks.signature import call_signature
from errands.text import did_you_mean


def check_options(
    options: TaskOptions, function: Callable[..., Any], *, skipped: int
) -> None:
    """Raise where options do not fit the function they are for."""
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        raise TypeError(
            f"{function.__name__} is a generator: calling it runs none of its lines. "
            "Return a list instead of yielding, or nothing at all."
        )
    if options.transactional and iscoroutinefunction(function):
        raise TypeError(
            f"{function.__name__} is async and cannot be transactional: a transaction "
            "belongs to one thread. Make it a plain function, or leave the option out."
        )
    if options.unique or options.concurrency or options.rate:
        _check_names(options, function, skipped)


def placeholders(template: str) -> set[str]:
    """Return the argument names a template fills in; ``ValueError`` for others."""
    names = set()
    for _, name, spec, conversion in _parsed(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(
                f"The key {template!r} may hold names of arguments in braces, such as "
                "'account:{account}', and nothing else in them."
            )
        names.add(name)
    return names


def _parsed(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"The key {template!r} cannot be read: {error}. Write '{{{{' for a brace "
            "that is part of the key."
        ) from None


def _check_names(
    options: TaskOptions, function: Callable[..., Any], skipped: int
) -> None:
    known = list(call_signature(function, skipped=skipped).parameters)
    if options.unique in known:
        name = options.unique
        raise ValueError(
            f"unique is {name!r}, a text that fills in no argument: all calls would be "
            f"one task. Did you mean ({name!r},) or '{{{name}}}'?"
        )
    for option, names in _named_by(options):
        for name in sorted(names):
            if name not in known:
                takes = f" It takes: {', '.join(known) or 'none'}."
                raise ValueError(
                    f"{option} names {name!r}, which is no argument of "
                    f"{function.__name__}.{did_you_mean(name, known) or takes}"
                )


def _named_by(options: TaskOptions) -> Iterator[tuple[str, set[str]]]:
    """Return the arguments that options name, and which option does."""
    if isinstance(options.unique, str):
        yield "unique", placeholders(options.unique)
    elif isinstance(options.unique, tuple):
        yield "unique", set(map(str, options.unique))
    if options.concurrency is not None:
        yield "concurrency", placeholders(options.concurrency[0])
    if options.rate is not None:
        yield "rate", placeholders(options.rate[0])
