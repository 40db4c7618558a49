"""How long to wait before the next attempt."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from numbers import Real
from typing import Any

from django.tasks import TaskResult

from errands.tasks.groups import is_one_of, members
from errands.tasks.signature import signature_of

type Backoff = Callable[[Any, TaskResult], float | None]
"""Given the exception and the result so far, the seconds to wait; None gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class exponential:  # noqa: N801 - it reads as a function: backoff=exponential(first=5)
    """Wait ``first`` seconds, then twice as long each time, at most ``cap``.

    With the defaults: 5 s, 10 s, 20 s … 600 s. Up to ``jitter`` (a tenth) is
    taken off at random, so that tasks that failed together do not return
    together.
    """

    first: float = 5
    cap: float = 600
    jitter: float = 0.1

    def __post_init__(self) -> None:
        self._check_types()
        if not 0 <= self.first <= self.cap:
            raise ValueError(
                f"exponential(first={self.first!r}, cap={self.cap!r}): "
                "0 <= first <= cap is required."
            )
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is {self.jitter!r}; it is a share from 0 to 1.")

    def __call__(self, exception: Exception, task_result: TaskResult) -> float:
        """Return the seconds to wait after the result's latest attempt."""
        return self.after(task_result.attempts)

    def after(self, attempts: int) -> float:
        """Return the seconds to wait after so many attempts."""
        doublings = min(max(attempts, 1) - 1, 64)
        seconds = min(self.cap, self.first * 2**doublings)
        return float(seconds * (1 - random.uniform(0, self.jitter)))  # noqa: S311

    def _check_types(self) -> None:
        for name, example in (("first", "5"), ("cap", "600"), ("jitter", "0.1")):
            given = getattr(self, name)
            if not isinstance(given, Real) or isinstance(given, bool):
                unit = "a share" if name == "jitter" else "seconds"
                raise TypeError(
                    f"exponential({name}={given!r}): {name} is {unit} as a number, "
                    f"such as {example}."
                )


class per_exception:  # noqa: N801 - it reads as a function, as its neighbour does
    """Wait as the first entry says whose class the exception has.

    Entries are asked in their order, so name the special before the general;
    an exception that fits none waits as ``exponential()`` does. An entry that all
    members of a group fit is given the first of them.
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[Any, Any]) -> None:
        check_backoff("backoff", entries)
        general: tuple[Any, Any] = (BaseException, exponential())
        self._entries = (*entries.items(), general)

    def __call__(self, exception: Exception, task_result: TaskResult) -> float | None:
        """Return the seconds to wait, None to give up."""
        fitting = (each for each in self._entries if is_one_of(exception, each[0]))
        kind, told = next(fitting)
        is_itself = isinstance(exception, kind)
        fits = exception if is_itself else members(exception)[0]
        seconds: float | None = told(fits, task_result)
        return seconds


EXAMPLE = "a function such as exponential(first=5, cap=600)"


def check_backoff(name: str, given: Any) -> None:
    """Raise ``TypeError`` for what would return no seconds when it is called."""
    for kind in given if isinstance(given, Mapping) else ():
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"{name} holds {kind!r}, not an exception class.")
    for each, function in _functions(name, given):
        _check_function(each, function)


def check_signatures(name: str, given: Any) -> None:
    """Raise ``TypeError`` for what does not take what it is called with.

    Too slow to be asked for each call.
    """
    for each, function in _functions(name, given):
        _check_signature(each, function)


def _functions(name: str, given: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(given, Mapping):
        yield name, given
        return
    for kind, backoff in given.items():
        yield f"{name}[{kind.__name__}]", backoff


def _check_function(name: str, given: Any) -> None:
    if isinstance(given, type):
        raise TypeError(
            f"{name} is the class {given.__name__}, not an instance of it. Pass "
            f"{given.__name__}(), or {EXAMPLE}."
        )
    if not callable(given):
        raise TypeError(f"{name} is {given!r}; it takes {EXAMPLE}.")
    if iscoroutinefunction(given) or iscoroutinefunction(type(given).__call__):
        raise TypeError(
            f"{name} is async, and nobody would await it. Pass a plain function, such "
            "as exponential(first=5, cap=600)."
        )


def _check_signature(name: str, given: Any) -> None:
    try:
        takes = signature_of(given)
    except ValueError:
        return  # Some functions of C do not tell.
    try:
        takes.bind(None, None)
    except TypeError:
        raise TypeError(
            f"{name} is called with the exception and the result so far, and takes "
            f"{takes}. Write it as backoff(exception, task_result)."
        ) from None
