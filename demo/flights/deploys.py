"""A deploy as far as a demo has one: the worker is stopped and started anew.

The view asks, ``serve.py`` does it: both are one process, and the only one
that is ever stopped is the worker which ``serve.py`` itself has started.
"""

from threading import Event

_watched, _requested = Event(), Event()


def watch() -> None:
    """Say that somebody will do what is asked."""
    _watched.set()


def is_watched() -> bool:
    """Return whether asking is of any use in this process."""
    return _watched.is_set()


def request() -> None:
    """Ask for a deploy; asking twice before it happens is asking once."""
    _requested.set()


def take_request() -> bool:
    """Return whether a deploy was asked for since the last call."""
    was_requested = _requested.is_set()
    _requested.clear()
    return was_requested
