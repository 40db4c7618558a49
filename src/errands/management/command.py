"""What our commands have in common."""

from typing import Any

from django.core.management.base import BaseCommand

from errands.streams import open_missing_streams, say


class Command(BaseCommand):
    """A command that does its work whoever still listens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # First: the base class takes the streams there are, and keeps them.
        open_missing_streams()
        super().__init__(*args, **kwargs)

    def say(self, line: str) -> None:
        """Write a line; if nobody takes it, go on."""
        say(self.stdout, line)

    def complain(self, line: str) -> None:
        """Write a line past a pipe that takes the rest."""
        say(self.stderr, line)
